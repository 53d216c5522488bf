"""What stands between a finished file and its publication: is it the same video, and does any face still show?"""

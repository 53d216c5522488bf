"""The words of the domain: errors, time, geometry, pictures, records, settings and the ports that steps ask for."""

"""Questions that are asked again and again, by name: `faceanon query OUT NAME`.

Each is one SELECT over the ledger's tables; $words are given with `--with word=value`. "Current" is what videos/ shows now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from faceanon.core.errors import UsageError


@dataclass(frozen=True)
class Question:
    """words: what has to be given, with an example of each."""

    name: str
    asks: str
    sql: str
    words: tuple[tuple[str, str], ...] = ()


_OBSCURING = "('blur', 'pixelate', 'fill')"

_ALL = (
    Question(
        "blast-radius",
        "what a model had a part in: every output that was made or judged with it",
        """SELECT o.name, o.state, o.out_uri, o.run_id, o.engine, o.people, o.committed_at
FROM outputs o
WHERE list_has_any(o.model_ids, (SELECT coalesce(list(model_id), []) FROM models WHERE name = $model OR starts_with(model_id, $model)))
ORDER BY o.state, o.name""",
        (("model", "yunet"),),
    ),
    Question(
        "never-verified",
        "published videos at which no auditor but the run's own has looked since",
        """WITH later AS (SELECT v.output_id, v.name, v.at FROM verdicts v WHERE v.verdict_id <> v.record_id)
SELECT o.name, o.out_uri, o.engine, o.people, o.faces, o.committed_at
FROM outputs o
WHERE o.state = 'current'
  AND NOT EXISTS (SELECT 1 FROM later WHERE later.output_id = o.output_id)
  AND NOT EXISTS (SELECT 1 FROM later WHERE later.output_id IS NULL AND later.name = o.name AND later.at >= o.committed_at)
ORDER BY o.committed_at, o.name""",
    ),
    Question(
        "obscured",
        "videos in which faces were obscured although new ones were asked for, most first",
        f"""SELECT o.name, o.faces AS tracks, t.tracks_touched, t.tracks_obscured, t.frames_obscured, t.widest_px
FROM (SELECT record_id, count(*) AS tracks_touched, count(*) FILTER (method = 'obscured') AS tracks_obscured, sum(frames_obscured) AS frames_obscured,
    round(max(width_max)) AS widest_px
  FROM tracks WHERE frames_obscured > 0 AND trusted GROUP BY record_id) t JOIN outputs o ON o.record_id = t.record_id
WHERE o.state = 'current' AND o.engine NOT IN {_OBSCURING}
ORDER BY t.frames_obscured DESC, o.name""",
    ),
    Question(
        "quarantined",
        "what is not published, by reason",
        """SELECT stage, reason, count(*) AS videos, min(name) AS first_name, min(ingest_date) AS since, max(ingest_date) AS until
FROM videos WHERE state = 'quarantined'
GROUP BY stage, reason ORDER BY videos DESC, stage, reason""",
    ),
    Question(
        "repaired",
        "videos in which the auditor still saw a face, which was then covered",
        """SELECT o.name, v.auditor, v.repairs, r.regions, r.frames, o.committed_at
FROM outputs o JOIN verdicts v ON v.record_id = o.record_id
LEFT JOIN (SELECT record_id, count(*) AS regions, sum(n_repaired) AS frames FROM tracks WHERE n_repaired > 0 GROUP BY record_id) r ON r.record_id = o.record_id
WHERE o.state = 'current' AND (v.repairs > 0 OR r.frames > 0)
ORDER BY v.repairs DESC, r.frames DESC, o.name""",
    ),
    Question(
        "throughput",
        "what was done each day (UTC), and with how much computing",
        """SELECT day, videos, frames, gigabytes, s.cpu_hours, round(frames / nullif(s.cpu_hours * 3600, 0), 2) AS frames_a_cpu_second
FROM (SELECT ingest_date AS day, count(*) AS videos, sum(frames) AS frames, round(sum(size) / 1e9, 3) AS gigabytes FROM outputs GROUP BY ingest_date) o
LEFT JOIN (SELECT ingest_date, round(sum(seconds) / 3600, 3) AS cpu_hours FROM segments GROUP BY ingest_date) s ON s.ingest_date = o.day
ORDER BY day""",
    ),
    Question(
        "label",
        "one person, by label, across videos",
        """SELECT o.name, count(*) AS tracks, sum(t.n_det) AS sightings, sum(t.frames_face) AS frames_replaced, sum(t.frames_obscured) AS frames_obscured,
  min(t.first_frame) AS first_frame, max(t.stop_frame) AS stop_frame
FROM tracks t JOIN outputs o ON o.record_id = t.record_id
WHERE t.label = $label AND o.state = 'current'
GROUP BY o.name ORDER BY o.name""",
        (("label", "person-abcdefghijklmnop"),),
    ),
    Question(
        "article-30",
        "the register of processing activities of GDPR article 30, as far as the ledger can fill it in",
        """SELECT 'faces in videos are replaced, so that people cannot be recognised' AS purpose, v.collection, v.legal_basis,
  'people who are seen in videos' AS data_subjects, 'pictures of faces; templates of faces while a run lasts' AS data_categories,
  count(*) AS videos, count(*) FILTER (v.state = 'published') AS published, sum(o.people) AS people_counted_by_video,
  min(v.ingested_at) AS first_ingested, max(v.ingested_at) AS last_ingested,
  string_agg(DISTINCT o.engine, ', ' ORDER BY o.engine) AS measures,
  string_agg(DISTINCT r.actor, ', ' ORDER BY r.actor) AS processed_by, string_agg(DISTINCT r.host_class, ', ' ORDER BY r.host_class) AS processed_on,
  (SELECT string_agg(policy || coalesce(' after ' || days || ' days', ''), '; ' ORDER BY policy)
   FROM (SELECT DISTINCT policy_id || ': ' || action AS policy, max_days AS days FROM policies)) AS erasure
FROM videos v LEFT JOIN outputs o ON o.name = v.name AND o.state = 'current' LEFT JOIN runs r ON r.run_id = v.run_id
GROUP BY v.collection, v.legal_basis ORDER BY v.collection, v.legal_basis""",
    ),
)
QUESTIONS = {question.name: question for question in _ALL}


def parameters(question: Question, given: list[str]) -> dict[str, str]:
    """The words of a question, from `word=value` each. Raises UsageError where one is missing or unknown."""
    found = dict(text.split("=", 1) for text in given if "=" in text)
    wanted = dict(question.words)
    bad = [text for text in given if "=" not in text] + sorted(found.keys() - wanted.keys())
    if bad:
        raise UsageError(f"--with {bad[0]}: {question.name} takes {' and '.join(f'{w}=VALUE' for w in wanted) or 'no words'}")
    for word, example in wanted.items():
        if not found.get(word):
            raise UsageError(f"{question.name} needs --with {word}=VALUE, such as --with {word}={example}")
    return found


def tables_in(sql: str, names: list[str]) -> list[str]:
    """Those of `names` that stand in `sql` as words; all of them where it asks which tables there are."""
    if re.search(r"\b(show|information_schema|duckdb_\w+|pg_catalog|sqlite_master)\b", sql, re.IGNORECASE):
        return names
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    return [name for name in names if name in words]

"""The tables of the service's database: one tuple of statements a version, never changed later."""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT",
        "INSERT INTO schema_version VALUES (0)",
        # What was read from the files of releases before the database, relative to the root.
        "CREATE TABLE imported_files (path TEXT PRIMARY KEY, time REAL NOT NULL) STRICT",
        """CREATE TABLE tokens (
            name TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('reader', 'submitter')),
            sha256 TEXT NOT NULL UNIQUE,
            created REAL NOT NULL,
            expires REAL NOT NULL
        ) STRICT""",
        # A revoked token's links and browsers go with it.
        """CREATE TABLE browser_sessions (
            sha256 TEXT PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('link', 'visit')),
            token TEXT NOT NULL REFERENCES tokens (sha256) ON DELETE CASCADE,
            expires REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE studies (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            created REAL NOT NULL,
            task TEXT NOT NULL,
            study TEXT NOT NULL,
            arguments TEXT NOT NULL CHECK (json_valid(arguments)),
            datasets TEXT NOT NULL CHECK (json_valid(datasets)),
            concurrency INTEGER,
            gpus INTEGER NOT NULL,
            gpus_per_trial REAL,
            quote TEXT NOT NULL CHECK (json_valid(quote)),
            key TEXT NOT NULL
        ) STRICT""",
        # A request sent again makes no second study, whichever process takes it.
        "CREATE UNIQUE INDEX studies_by_key ON studies (owner, key) WHERE key <> ''",
        """CREATE TABLE states (
            study TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            time REAL NOT NULL,
            state TEXT NOT NULL CHECK (state IN
                ('queued', 'starting', 'running', 'stopping', 'done', 'failed', 'stopped')),
            verb TEXT NOT NULL CHECK (verb IN ('frontier', 'confirm', 'export')),
            words TEXT NOT NULL CHECK (json_valid(words)),
            job TEXT NOT NULL,
            concurrency INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            lost INTEGER NOT NULL,
            recorded INTEGER NOT NULL,
            why TEXT NOT NULL,
            PRIMARY KEY (study, number)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE datasets (
            owner TEXT NOT NULL,
            id TEXT NOT NULL,
            file TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            created REAL NOT NULL,
            expires REAL NOT NULL,
            PRIMARY KEY (owner, id)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE audit (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            time TEXT NOT NULL,
            owner TEXT NOT NULL,
            token TEXT NOT NULL,
            verb TEXT NOT NULL,
            what TEXT NOT NULL,
            status ANY NOT NULL
        ) STRICT""",
        """CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit is only appended to'); END""",
        """CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit is only appended to'); END""",
    ),
)

"""Step 06, exercise, ready for you: the users and their permissions. A production service stores them in a database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pwdlib import PasswordHash

hasher = PasswordHash.recommended()

# Made with hasher.hash(). DUMMY_HASH is the hash of a random password that no user has.
DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$Q82eNWxfAmL+eTlkQbNgHw$/9/LF5mtWEM/q5ntmxjVTtLWPiFaWbbkIrnQi2wHByU"
ADAS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$qgWS2+Ry6HB5+pS/POeuNA$ipvhaMEzGQusWWxyCgRRbdoe5mqLMwIuq9jYvs9hBq0"
GRACES_HASH = "$argon2id$v=19$m=65536,t=3,p=4$pU8TKqBbP3KGqWCCqKkdRQ$SCO++fjVnBd8zpumcoT63fHsAUk40eN8+MDCSldJ6cc"
LINUS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$sIwmd1O1Wtfvi8hupnWWYA$KJij+5Ye5AhxxKwT3LPITLSTMuRLc7gYQs/i2rk8LtU"


@dataclass(frozen=True)
class User:
    name: str
    # Not in the repr, so no log contains it.
    password_hash: str = field(repr=False)
    permissions: Mapping[str, Literal["read", "write"]]


USERS = {
    user.name: user
    for user in (
        User("Ada", ADAS_HASH, {"lobby": "write", "lab": "write"}),
        User("Grace", GRACES_HASH, {"lobby": "write", "lab": "read"}),
        User("Linus", LINUS_HASH, {"lobby": "write"}),
    )
}

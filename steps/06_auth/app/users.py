"""Step 06, lesson: the users. No password is stored, only its argon2 hash."""

from pwdlib import PasswordHash

hasher = PasswordHash.recommended()

# Made with hasher.hash(). A production service stores them in a database.
HASHES = {
    "Ada": "$argon2id$v=19$m=65536,t=3,p=4$qgWS2+Ry6HB5+pS/POeuNA$ipvhaMEzGQusWWxyCgRRbdoe5mqLMwIuq9jYvs9hBq0",
    "Grace": "$argon2id$v=19$m=65536,t=3,p=4$pU8TKqBbP3KGqWCCqKkdRQ$SCO++fjVnBd8zpumcoT63fHsAUk40eN8+MDCSldJ6cc",
    "Linus": "$argon2id$v=19$m=65536,t=3,p=4$sIwmd1O1Wtfvi8hupnWWYA$KJij+5Ye5AhxxKwT3LPITLSTMuRLc7gYQs/i2rk8LtU",
}

"""File names made of anyone's words: safe on every system, and distinct."""

import hashlib
import re
import unicodedata

LONGEST = 120  # bytes, so that there is room for a digest and a suffix
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u2028\u2029\ud800-\udfff]')
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)  # by Windows


class Names:
    """Hands out one file name (without suffix) for each name, and always the same one.

    What a file system could take for something else becomes a hyphen. Two names that would share a
    file, even where upper and lower case are one, are told apart by a digest.
    """

    def __init__(self):
        self.given: dict[str, str] = {}
        self.taken: set[str] = set()

    def __call__(self, name: str) -> str:
        name = str(name)
        if name not in self.given:
            made = safe(name)
            while _same(made) in self.taken:
                made = f"{made}-{_digest(name)}"
            self.taken.add(_same(made))
            self.given[name] = made
        return self.given[name]


def safe(name: str) -> str:
    """A file name that reads like ``name``; what is safe already stays as it is."""
    made = UNSAFE.sub("-", unicodedata.normalize("NFC", name)).strip(" .")
    if len(made.encode()) > LONGEST:
        made = made.encode()[:LONGEST].decode(errors="ignore").strip(" .") + f"-{_digest(name)}"
    return f"_{made}" if RESERVED.match(made) or not made else made


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]

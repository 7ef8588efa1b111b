"""The hash function BLAKE2b, without the rest of `hashlib`.

`hashlib` loads OpenSSL, which takes 3 ms and 3.6 MB. The module `random` of the standard library
avoids it in the same way.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # another Python may have it elsewhere
    from hashlib import blake2b

__all__ = ["blake2b"]

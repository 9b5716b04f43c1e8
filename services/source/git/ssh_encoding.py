"""How SSH writes keys and signatures: strings with their length before them."""


class SshError(Exception):
    """Not a good signature, or not a key; the message says why."""


class SshReader:
    """Reads SSH's length-prefixed strings; raises SshError at an end that comes too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def take(self, size: int) -> bytes:
        taken, self._content = self._content[:size], self._content[size:]
        if len(taken) < size:
            raise SshError("the key or the signature is cut off")
        return taken

    def text(self) -> bytes:
        return self.take(int.from_bytes(self.take(4)))

    def require_end(self) -> None:
        if self._content:
            raise SshError("there is more than a signature")

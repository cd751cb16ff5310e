"""Files in a folder of an SFTP server, whose key the link pins: read up to a bound, written whole or not at all.

The same promises as a local folder as far as the protocol has them: a file is written under a temporary name and
renamed. Replacing needs OpenSSH's ``posix-rename@openssh.com``; where a server has none, a new file is renamed
plainly and one that is there is left as it is, with an error that says so. Symbolic links are the server's affair.
"""

from __future__ import annotations

import base64
import errno
import io
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import Any

import paramiko

from adapters.contract import FileMark, FileRead, FileReply, FileWrite
from gateway.far_side import KEY, PASSPHRASE, PASSWORD, FarSide
from gateway.outer_addresses import LineBroke, connect
from gateway.transport_files import MAX_ENTRIES, PIECE, Opened, Stamp, parts_of, temporary, too_long
from processing.errors import BadReply, LinkDown, LinkRefused

CHUNK = 32 << 10
_KEYS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
# What paramiko meets in packets that make no sense.
_GARBAGE = (ValueError, LookupError, struct.error)
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class Sftp:
    """The files below the folder of the address. Its connection is kept between calls."""

    def __init__(self, far_side: FarSide) -> None:
        self._far_side = far_side
        self._socket: socket.socket | None = None
        self._ssh: paramiko.Transport | None = None
        self._client: paramiko.SFTPClient | None = None

    def exchange(self, call: FileRead | FileWrite, until: float) -> FileReply:
        """The file's content, or ``None``. Errors: LinkDown, LinkRefused, BadReply."""
        at, name = self._place(call.name)
        with self._speaking(until) as client:
            files = _Files(client)
            if isinstance(call, FileRead):
                return FileReply(files.read(f"{at}/{name}", min(call.limit, self._far_side.max_answer_bytes)))
            return FileReply(call.content if files.write(at, name, call) else None)

    def _place(self, name: str) -> tuple[str, str]:
        """The folder on the server, and the name in it. Errors: LinkRefused."""
        *folders, own = parts_of(name)
        return "/".join((self._far_side.folder.rstrip("/"), *folders)), own

    @contextmanager
    def _speaking(self, until: float) -> Iterator[paramiko.SFTPClient]:
        """The client, until then; what fails on the way is told as what it means. Errors: LinkDown."""
        try:
            with self._cut_off(until):
                yield self._opened(until)
        except OSError as error:
            raise self._told(error, until) from None
        except (paramiko.SSHException, paramiko.sftp.SFTPError, EOFError, *_GARBAGE) as error:
            self.close()
            raise LineBroke(f"SFTP fails ({type(error).__name__})") from None

    def listed(self, pattern: str, seconds: float) -> list[tuple[str, Stamp]]:
        """As gateway.transport_files.Shelf says."""
        at, wanted = self._place(pattern)
        folder = pattern.rpartition("/")[0]
        found = []
        with self._speaking(time.monotonic() + seconds) as client:
            try:
                for number, entry in enumerate(client.listdir_iter(at)):
                    if number >= MAX_ENTRIES:
                        raise LinkRefused(f"the folder has more than {MAX_ENTRIES} files")
                    if fnmatchcase(entry.filename, wanted) and stat.S_ISREG(entry.st_mode or 0):
                        name = f"{folder}/{entry.filename}" if folder else entry.filename
                        found.append((name, _stamp(entry)))
            except FileNotFoundError:
                if not folder:
                    raise
        return sorted(found)

    @contextmanager
    def reading(self, name: str, seconds: float) -> Iterator[Opened]:
        """As gateway.transport_files.Shelf says."""
        at, own = self._place(name)
        with self._speaking(time.monotonic() + seconds) as client:
            file = client.open(f"{at}/{own}", "rb")
            told = file.stat()
        try:
            if not stat.S_ISREG(told.st_mode or stat.S_IFREG):
                raise LinkRefused("in the place of the file is something else")
            yield Opened(_stamp(told), self._chunks(file, seconds))
        finally:
            with suppress(OSError, EOFError, paramiko.SSHException):
                file.close()

    def _chunks(self, file: paramiko.SFTPFile, seconds: float) -> Iterator[bytes]:
        while True:
            with self._speaking(time.monotonic() + seconds):
                piece = file.read(PIECE)
            if not piece:
                return
            yield piece

    def mark(self, name: str, stamp: Stamp, mark: FileMark, seconds: float) -> Stamp | None:
        """As gateway.transport_files.Shelf says."""
        at, own = self._place(name)
        with self._speaking(time.monotonic() + seconds) as client:
            try:
                with client.open(f"{at}/{own}", "r+b") as file:
                    if _stamp(file.stat()) != stamp:
                        return None
                    file.seek(mark.offset)
                    if file.read(len(mark.old)) != mark.old:
                        return None
                    file.seek(mark.offset)
                    file.write(mark.new)
                return _stamp(client.stat(f"{at}/{own}"))
            except FileNotFoundError:
                return None

    def _told(self, error: OSError, until: float) -> LinkDown:
        """An error of the server's leaves the connection as it is; one of the line ends it."""
        if error.errno in (errno.ENOENT, errno.EACCES):
            return LinkDown(f"the folder fails: {'it is not there' if error.errno == errno.ENOENT else 'no rights'}")
        self.close()
        if isinstance(error, TimeoutError) or time.monotonic() >= until:
            return LineBroke("no answer in time")
        return LineBroke(f"SFTP fails ({type(error).__name__})")

    @contextmanager
    def _cut_off(self, until: float) -> Iterator[None]:
        """At ``until`` the socket is shut down, whoever waits for it: paramiko bounds each wait, not their sum."""
        left = until - time.monotonic()
        if left <= 0:
            raise LineBroke("no answer within the time for the whole call")
        timer = threading.Timer(left, self._shut_down)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _shut_down(self) -> None:
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _opened(self, until: float) -> paramiko.SFTPClient:
        if self._client is not None and self._ssh is not None and self._ssh.is_active():
            return self._client
        self.close()
        own = self._far_side
        until = min(until, time.monotonic() + own.connect_seconds)
        self._socket = connect(own.host, own.port, own.inner_addresses, True, until)
        try:
            self._ssh = self._signed_in(self._socket, until)
            channel = self._ssh.open_session(timeout=_left(until))
            channel.settimeout(own.read_seconds)
            channel.invoke_subsystem("sftp")
            self._client = paramiko.SFTPClient(channel)
        except BaseException:
            self.close()
            raise
        return self._client

    def _signed_in(self, sock: socket.socket, until: float) -> paramiko.Transport:
        """A connection to the server that has the pinned key. Errors: LinkDown, LineBroke."""
        own = self._far_side
        kind, blob = own.host_key.split()
        ssh = self._ssh = paramiko.Transport(sock)
        ssh.banner_timeout = ssh.handshake_timeout = ssh.auth_timeout = _left(until)
        try:
            ssh.get_security_options().key_types = _RSA if kind == "ssh-rsa" else (kind,)
        except ValueError:
            raise LinkDown(f"host_key is of a kind that is not known: {kind}") from None
        try:
            ssh.start_client(timeout=_left(until))
        except paramiko.SSHException as error:
            if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
                raise LinkDown("the server has no key of the kind that the link pins, or no method in common") from None
            raise LineBroke(f"SSH fails ({type(error).__name__})") from None
        if ssh.get_remote_server_key().asbytes() != base64.b64decode(blob):
            raise LinkDown("the server's key is not the one that the link pins (host_key)")
        self._prove(ssh)
        return ssh

    def _prove(self, ssh: paramiko.Transport) -> None:
        """Sign in with the key or the password. Errors: LinkDown."""
        own = self._far_side
        try:
            if KEY in own.secrets:
                ssh.auth_publickey(own.user, private_key(own.secrets[KEY], own.secrets.get(PASSPHRASE)))
            else:
                ssh.auth_password(own.user, own.secrets.get(PASSWORD, ""))
        except paramiko.AuthenticationException:
            raise LinkDown("the server does not take the link's credentials") from None

    def close(self) -> None:
        """End the connection; its socket first, so that nobody waits for the other side."""
        ssh, sock, self._client, self._ssh = self._ssh, self._socket, None, None
        self._shut_down()
        self._socket = None
        if ssh is not None:
            ssh.close()
        if sock is not None:
            sock.close()


def _stamp(told: Any) -> Stamp:
    return Stamp(told.st_size or 0, told.st_mtime or 0)


def private_key(text: str, passphrase: str | None) -> paramiko.PKey:
    """The key of an OpenSSH or PEM text. Errors: LinkDown."""
    for kind in _KEYS:
        with suppress(paramiko.SSHException, ValueError, TypeError):
            return kind.from_private_key(io.StringIO(text), passphrase)
    raise LinkDown("the secret key is no private key (Ed25519, ECDSA or RSA), or its passphrase is wrong")


def _left(until: float) -> float:
    return max(0.001, until - time.monotonic())


class _Files:
    """What a signed-in client does with files. Errors: OSError, those of paramiko, BadReply, LinkRefused."""

    def __init__(self, client: paramiko.SFTPClient) -> None:
        self._client = client

    def read(self, path: str, limit: int) -> bytes | None:
        try:
            mode = self._client.stat(path).st_mode
            if mode is not None and not stat.S_ISREG(mode):
                raise LinkRefused("in the place of the file is something else")
            with self._client.open(path, "rb") as file:
                content = bytearray()
                while piece := file.read(min(CHUNK, limit + 1 - len(content))):
                    content += piece
                    if len(content) > limit:
                        raise too_long(limit)
                return bytes(content)
        except FileNotFoundError:
            return None

    def write(self, at: str, name: str, call: FileWrite) -> bool:
        """Whether it was written: not where another content than ``at`` is, or any at all for ``new``."""
        path, beside = f"{at}/{name}", f"{at}/{temporary(name)}"
        if not self._fits(path, call):
            return False
        try:
            with self._client.open(beside, "wbx") as file:
                file.write(call.content)
            return self._fits(path, call) and self._rename(beside, path, call.new)
        except BaseException:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self._client.remove(beside)
            raise

    def _fits(self, path: str, call: FileWrite) -> bool:
        if call.new:
            return not self._is_there(path)
        if call.at is None:
            return True
        try:
            return self.read(path, len(call.at)) == call.at
        except BadReply:  # longer
            return False

    def _is_there(self, path: str) -> bool:
        try:
            self._client.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def _rename(self, beside: str, path: str, new: bool) -> bool:
        if not new:
            try:
                self._client.posix_rename(beside, path)
            except OSError as error:
                if error.errno is not None or isinstance(error, TimeoutError):
                    raise
            else:
                return True
        try:
            self._client.rename(beside, path)  # over a file that is there it fails, by the protocol
        except OSError as error:
            if error.errno is not None or isinstance(error, TimeoutError) or not self._is_there(path):
                raise
            self._client.remove(beside)
            if new:
                return False
            raise LinkRefused("the server cannot replace a file at once (posix-rename@openssh.com)") from None
        return True

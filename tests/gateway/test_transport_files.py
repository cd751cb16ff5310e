"""Files of a folder and of an SFTP server: whole or not at all, below the folder, within bounds.

What both promise is tested on both; the server is paramiko's own, on this machine.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import paramiko
import pytest
from structlog.testing import capture_logs

from adapters.contract import FileMark, FileRead, FileReply, FileWrite, HttpCall, SoapCall
from gateway import transport, transport_files
from gateway.far_side import FarSide
from gateway.transport import FarTransport
from processing.errors import BadReply, LinkDown, LinkRefused
from tests.gateway.far_sides import HERE, PATIENCE, call, endless

USER, PASSWORD = "till", "secret of the far side"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr(transport, "MOST_WAIT_SECONDS", 0)


# The SFTP server --------------------------------------------------------------------------------------------------


def answered(work: Callable[[], Any]) -> Any:
    """What the work returns; its OSError as a status of SFTP."""
    try:
        return work()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno or 0)


class Handle(paramiko.SFTPHandle):
    def stat(self) -> Any:
        return answered(lambda: paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno())))


class Shelf(paramiko.SFTPServerInterface):
    """Serves a folder; ``renames``: whether it has posix-rename@openssh.com."""

    def __init__(self, server: Server, *args: Any, **kwargs: Any) -> None:
        self._server = server
        super().__init__(server, *args, **kwargs)

    def _path(self, path: str) -> Path:
        return self._server.root / path.lstrip("/")

    def open(self, path: str, flags: int, attr: Any) -> Any:
        def work() -> Any:
            file = os.open(self._path(path), flags, 0o660)
            handle = Handle(flags)
            writes = flags & (os.O_WRONLY | os.O_RDWR)
            stream = os.fdopen(file, "r+b" if flags & os.O_RDWR else "wb" if writes else "rb")
            handle.readfile = handle.writefile = stream
            return handle

        return answered(work)

    def stat(self, path: str) -> Any:
        return answered(lambda: paramiko.SFTPAttributes.from_stat(self._path(path).stat()))

    def lstat(self, path: str) -> Any:
        return answered(lambda: paramiko.SFTPAttributes.from_stat(self._path(path).lstat()))

    def list_folder(self, path: str) -> Any:
        def work() -> Any:
            found = []
            for each in self._path(path).iterdir():
                attributes = paramiko.SFTPAttributes.from_stat(each.lstat())
                attributes.filename = each.name
                found.append(attributes)
            return found

        return answered(work)

    def remove(self, path: str) -> Any:
        return answered(lambda: self._path(path).unlink() or paramiko.SFTP_OK)

    def rename(self, oldpath: str, newpath: str) -> Any:
        if self._server.meanwhile:
            self._server.meanwhile()

        def work() -> int:
            os.link(self._path(oldpath), self._path(newpath))
            self._path(oldpath).unlink()
            return paramiko.SFTP_OK

        # OpenSSH says no more than that it failed.
        return paramiko.SFTP_OK if answered(work) == paramiko.SFTP_OK else paramiko.SFTP_FAILURE

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        if not self._server.renames:
            return paramiko.SFTP_OP_UNSUPPORTED
        return answered(lambda: self._path(oldpath).replace(self._path(newpath)) and paramiko.SFTP_OK)


class Server(paramiko.ServerInterface):
    """An SSH server on this machine, with SFTP for one user."""

    def __init__(self, root: Path, accepts: paramiko.PKey | None = None) -> None:
        self.root, self.renames, self.connections = root, True, 0
        self.meanwhile: Callable[[], None] | None = None
        self.key = paramiko.ECDSAKey.generate()
        self._accepts = accepts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[paramiko.Transport] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as OpenSSH does
            ssh = paramiko.Transport(sock)
            self._open.append(ssh)
            ssh.add_server_key(self.key)
            ssh.set_subsystem_handler("sftp", paramiko.SFTPServer, Shelf)
            with suppress(paramiko.SSHException, EOFError, OSError):
                ssh.start_server(server=self)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for ssh in self._open:
            ssh.close()

    def break_connections(self) -> None:
        for ssh in self._open:
            ssh.close()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey" if self._accepts else "password"

    def check_auth_password(self, username: str, password: str) -> int:
        fit = not self._accepts and (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if fit else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fit = self._accepts is not None and key.asbytes() == self._accepts.asbytes()
        return paramiko.AUTH_SUCCESSFUL if fit else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def far_side(self, **settings: Any) -> FarSide:
        given = {
            "inner_addresses": HERE,
            "host_key": f"{self.key.get_name()} {self.key.get_base64()}",
            "secrets": {"password": PASSWORD},
            "tries": 1,
            "total_seconds": PATIENCE,
        }
        return FarSide(f"sftp://{USER}@127.0.0.1:{self.port}/", **{**given, **settings})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "folder"
    inner.mkdir()
    return inner


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    made = Server(folder)
    yield made
    made.close()


@pytest.fixture(params=["file", "sftp"])
def settings(request: pytest.FixtureRequest, folder: Path) -> FarSide:
    if request.param == "sftp":
        found: Server = request.getfixturevalue("server")
        return found.far_side(max_answer_bytes=1 << 20)
    return FarSide(f"file://{folder}", tries=1, max_answer_bytes=1 << 20)


@pytest.fixture
def far(settings: FarSide) -> Iterator[Callable[[FileRead | FileWrite], bytes | None]]:
    made = FarTransport(settings)

    def run(what: FileRead | FileWrite) -> bytes | None:
        reply = made.call(what, None, time.monotonic() + PATIENCE)
        assert isinstance(reply, FileReply)
        return reply.content

    yield run
    made.close()


Far = Callable[[FileRead | FileWrite], "bytes | None"]


def left_over(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Both -------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read(far: Far, folder: Path) -> None:
    assert far(FileRead("goods.txt")) is None
    for content in (b"", b"first", b"second" * 50_000):
        assert far(FileWrite("goods.txt", content)) == content
        assert far(FileRead("goods.txt")) == content
    assert left_over(folder) == ["goods.txt"]


def test_a_file_may_lie_in_a_folder_below(far: Far, folder: Path) -> None:
    (folder / "out").mkdir()
    assert far(FileWrite("out/файл 1.txt", b"x")) == b"x"
    assert left_over(folder) == ["out", "out/файл 1.txt"]
    assert far(FileRead("none/a.txt")) is None
    with pytest.raises(LinkDown):
        far(FileWrite("none/a.txt", b"x"))


def test_a_new_file_replaces_none(far: Far, folder: Path) -> None:
    assert far(FileWrite("flag", b"1", new=True)) == b"1"
    assert far(FileWrite("flag", b"2", new=True)) is None
    assert far(FileRead("flag")) == b"1"
    assert left_over(folder) == ["flag"]


def test_a_content_that_has_changed_is_not_replaced(far: Far, folder: Path) -> None:
    assert far(FileWrite("state", b"2", at=b"1")) is None
    assert left_over(folder) == []
    far(FileWrite("state", b"1"))
    assert far(FileWrite("state", b"2", at=b"1")) == b"2"
    for at in (b"1", b"", b"22"):
        assert far(FileWrite("state", b"3", at=at)) is None
    assert far(FileWrite("state", b"3", at=b"2")) == b"3"
    assert left_over(folder) == ["state"]


def test_a_file_beyond_its_bound_is_not_read(far: Far, folder: Path) -> None:
    (folder / "a").write_bytes(b"x" * 100_000)
    assert far(FileRead("a", limit=100_000)) == b"x" * 100_000
    with pytest.raises(BadReply, match="99999"):
        far(FileRead("a", limit=99_999))
    (folder / "a").write_bytes(b"x" * (2 << 20))
    with pytest.raises(BadReply, match=str(1 << 20)):  # the link's own bound
        far(FileRead("a", limit=1 << 30))


# In pieces -------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(settings: FarSide) -> Iterator[transport_files.Shelf]:
    made = FarTransport(settings)
    yield made.shelf()
    made.close()


def test_files_that_fit_are_listed_with_their_stamps(shelf: transport_files.Shelf, folder: Path) -> None:
    (folder / "out" / "report9.txt").mkdir(parents=True)
    for name in ("report1.txt", "report2.txt", "other.txt", "out/report3.txt"):
        (folder / name).write_bytes(b"12345")
    (folder / "report0.txt").symlink_to(folder / "other.txt")
    assert [name for name, _ in shelf.listed("report*.txt", PATIENCE)] == ["report1.txt", "report2.txt"]
    ((name, stamp),) = shelf.listed("out/report*.txt", PATIENCE)
    assert (name, stamp.size) == ("out/report3.txt", 5)
    assert shelf.listed("none/*.txt", PATIENCE) == []


def test_a_file_is_read_in_pieces_whatever_its_size(shelf: transport_files.Shelf, folder: Path) -> None:
    content = os.urandom((2 << 20) + 7)  # beyond what an answer may have
    (folder / "a").write_bytes(content)
    with shelf.reading("a", PATIENCE) as opened:
        chunks = list(opened.chunks)
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= transport_files.PIECE and opened.stamp.size == len(content)


def test_only_the_file_that_was_read_is_marked(shelf: transport_files.Shelf, folder: Path) -> None:
    file, mark = folder / "a", FileMark(0, b"#", b"@")
    file.write_bytes(b"#\nx")
    with shelf.reading("a", PATIENCE) as opened:
        assert list(opened.chunks) == [b"#\nx"]
    file.write_bytes(b"#\nxy")
    assert shelf.mark("a", opened.stamp, mark, PATIENCE) is None
    ((_, stamp),) = shelf.listed("a", PATIENCE)
    assert shelf.mark("a", stamp, FileMark(0, b"$", b"@"), PATIENCE) is None
    assert file.read_bytes() == b"#\nxy"
    after = shelf.mark("a", stamp, mark, PATIENCE)
    assert file.read_bytes() == b"@\nxy" and left_over(folder) == ["a"]
    assert after == shelf.listed("a", PATIENCE)[0][1]
    file.unlink()
    assert shelf.mark("a", stamp, mark, PATIENCE) is None


def test_a_folder_with_too_many_files_is_refused(
    shelf: transport_files.Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("transport_files", "transport_sftp"):
        monkeypatch.setattr(f"gateway.{name}.MAX_ENTRIES", 2)
    for n in range(3):
        (folder / str(n)).touch()
    with pytest.raises(LinkRefused, match="more than 2 files"):
        shelf.listed("x*", PATIENCE)


NO_NAMES = ["", ".", "..", "../a", "a/../../b", "/etc/passwd", "a//b", "a/", "./a", "a\x00b", "a\nb", "a\\b", "x" * 300]


@pytest.mark.parametrize("name", [*NO_NAMES, "/".join("abcdefghij")])
def test_nothing_outside_of_the_folder_can_be_named(far: Far, folder: Path, name: str) -> None:
    (folder.parent / "a").write_text("outside")
    for what in (FileRead(name), FileWrite(name, b"x")):
        with pytest.raises(LinkRefused):
            far(what)
    assert (folder.parent / "a").read_text() == "outside"


def test_what_is_no_file_is_not_read(far: Far, folder: Path) -> None:
    (folder / "inner").mkdir()
    os.mkfifo(folder / "pipe")
    for name in ("inner", "pipe"):
        with pytest.raises(LinkRefused):
            far(FileRead(name))


def test_a_folder_that_is_not_there_keeps_the_link_down(settings: FarSide) -> None:
    gone = replace(settings, address=settings.address.rstrip("/") + "/not-mounted")
    with pytest.raises(LinkDown):
        call(gone, FileWrite("a", b"x"))


def test_files_are_no_http(settings: FarSide) -> None:
    for what in (HttpCall("GET", "/"), SoapCall("A")):
        with pytest.raises(LinkRefused, match="takes no"):
            call(settings, what)
    with pytest.raises(LinkRefused, match="takes no"):
        call(FarSide("https://far.example"), FileRead("a"))


def test_one_line_of_log_without_name_and_content(far: Far) -> None:
    with capture_logs() as lines:
        far(FileWrite("+79210000001.txt", b"+79210000001"))
    assert [(line["kind"], line["outcome"], line["bytes"]) for line in lines] == [("FileWrite", "ok", 12)]
    assert "7921" not in str(lines)


# A local folder ---------------------------------------------------------------------------------------------------


def local(folder: Path, what: FileRead | FileWrite, **settings: Any) -> bytes | None:
    reply = call(FarSide(f"file://{folder}", **{"tries": 1, **settings}), what)
    assert isinstance(reply, FileReply)
    return reply.content


def test_no_symbolic_link_is_followed(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "away").symlink_to(outside)
    for name in ("link", "away/secret"):
        with pytest.raises(LinkRefused):
            local(folder, FileRead(name))
    with pytest.raises(LinkRefused):
        local(folder, FileWrite("away/new", b"x"))
    assert local(folder, FileWrite("link", b"x")) == b"x"  # the link is replaced, not what it leads to
    assert ((outside / "secret").read_text(), left_over(outside)) == ("secret", ["secret"])
    assert not (folder / "link").is_symlink()


def test_a_reader_sees_the_old_file_or_the_new_one(folder: Path) -> None:
    contents = [bytes([n]) * 300_000 for n in (1, 2)]
    local(folder, FileWrite("a", contents[0]))
    stop, seen = threading.Event(), set[bytes]()

    def read() -> None:
        while not stop.is_set():
            seen.add((folder / "a").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        local(folder, FileWrite("a", contents[n % 2]))
    stop.set()
    reader.join()
    assert seen <= set(contents)


def test_of_many_writers_one_makes_the_new_file(folder: Path) -> None:
    made: list[bytes | None] = []
    start = threading.Barrier(8)

    def write(n: int) -> None:
        start.wait()
        made.append(local(folder, FileWrite("flag", bytes([n]), new=True)))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (each for each in made if each is not None)
    assert (folder / "flag").read_bytes() == winner
    assert left_over(folder) == ["flag"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local(folder, FileWrite("a", b"old"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transport_files.os, "fsync", full)
    with pytest.raises(LinkDown, match="space"):
        local(folder, FileWrite("a", b"new"))
    assert ((folder / "a").read_bytes(), left_over(folder)) == (b"old", ["a"])


def test_a_folder_that_is_too_slow_ends_the_call(folder: Path) -> None:
    (folder / "a").write_text("x")
    with pytest.raises(LinkDown, match="slow"):
        call(FarSide(f"file://{folder}", tries=1), FileRead("a"), seconds=-1)


def test_a_write_that_asks_for_a_state_is_tried_once() -> None:
    """After a lost answer it would say that it was not done, though it was."""
    assert transport.is_repeatable(FileWrite("a", b""))
    assert transport.is_repeatable(FileRead("a"))
    assert not transport.is_repeatable(FileWrite("a", b"", new=True))
    assert not transport.is_repeatable(FileWrite("a", b"", at=b""))


# SFTP -------------------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_and_made_anew_when_it_has_ended(server: Server, folder: Path) -> None:
    far = FarTransport(server.far_side(tries=2))
    for name in ("a", "b"):
        far.call(FileWrite(name, b"x"), None, time.monotonic() + PATIENCE)
    assert server.connections == 1
    server.break_connections()
    far.call(FileWrite("c", b"x"), None, time.monotonic() + PATIENCE)
    far.close()
    assert (server.connections, left_over(folder)) == (2, ["a", "b", "c"])


def test_a_server_with_another_key_is_not_talked_to(server: Server) -> None:
    for other in (paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)):
        with pytest.raises(LinkDown, match="pins"):
            call(server.far_side(host_key=f"{other.get_name()} {other.get_base64()}", tries=5), FileRead("a"))
    assert server.connections == 2


def test_wrong_credentials_keep_the_link_down_without_more_tries(server: Server) -> None:
    with pytest.raises(LinkDown, match="credentials") as caught:
        call(server.far_side(secrets={"password": "wrong secret"}, tries=5), FileRead("a"))
    assert "wrong secret" not in str(caught.value)
    assert server.connections == 1


def test_a_key_signs_in(folder: Path) -> None:
    key = paramiko.ECDSAKey.generate()
    server = Server(folder, accepts=key)
    try:
        for passphrase in (None, "phrase"):
            text = StringIO()
            key.write_private_key(text, passphrase)
            secrets = {"key": text.getvalue().strip()} | ({"passphrase": passphrase} if passphrase else {})
            call(server.far_side(secrets=secrets), FileWrite("a", b"x"))
        for wrong in ("no key", text.getvalue()):
            with pytest.raises(LinkDown, match="private key"):
                call(server.far_side(secrets={"key": wrong}), FileRead("a"))
    finally:
        server.close()


def test_a_server_that_cannot_replace_says_so(server: Server, folder: Path) -> None:
    server.renames = False
    assert isinstance(call(server.far_side(), FileWrite("a", b"old")), FileReply)
    with pytest.raises(LinkRefused, match="posix-rename"):
        call(server.far_side(), FileWrite("a", b"new"))
    assert ((folder / "a").read_bytes(), left_over(folder)) == (b"old", ["a"])


def test_a_new_file_that_came_meanwhile_stays(server: Server, folder: Path) -> None:
    server.meanwhile = lambda: (folder / "flag").write_bytes(b"theirs") and None
    assert call(server.far_side(), FileWrite("flag", b"ours", new=True)) == FileReply(None)
    assert ((folder / "flag").read_bytes(), left_over(folder)) == (b"theirs", ["flag"])


def test_an_inner_address_is_out_of_reach(server: Server) -> None:
    with pytest.raises(LinkDown, match="inner"):
        call(server.far_side(inner_addresses=()), FileRead("a"))
    assert server.connections == 0


BAD_SERVERS = {
    "drips": endless(b"", b"x", 0.02),
    "silent": endless(b"", b"", 0.02),
    "floods": endless(b"", b"x" * 4096),
    "banner only": endless(b"SSH-2.0-x\r\n", b"", 0.02),
    "banner and flood": endless(b"SSH-2.0-x\r\n", b"\xff" * 4096),
}


@pytest.mark.parametrize("script", BAD_SERVERS.values(), ids=BAD_SERVERS)
def test_a_server_that_is_none_ends_in_time(script: Any) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            sock, _ = listener.accept()
            script(sock, b"")

    threading.Thread(target=serve, daemon=True).start()
    key = paramiko.ECDSAKey.generate()
    settings = FarSide(
        f"sftp://{USER}@127.0.0.1:{listener.getsockname()[1]}/",
        connect_seconds=0.5,
        tries=1,
        inner_addresses=HERE,
        host_key=f"{key.get_name()} {key.get_base64()}",
        secrets={"password": PASSWORD},
    )
    began = time.monotonic()
    with listener, pytest.raises(LinkDown):
        call(settings, FileRead("a"))
    assert time.monotonic() - began < PATIENCE


def test_a_server_that_stops_within_a_file_ends_in_time(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(b"x" * 100_000)
    stop = threading.Event()
    monkeypatch.setattr(Handle, "read", lambda *_: stop.wait(PATIENCE) and b"")
    for bounds in ({"read_seconds": 0.3}, {"read_seconds": 60, "total_seconds": 1.5}):
        with pytest.raises(LinkDown):
            call(server.far_side(**bounds), FileRead("a"))
    stop.set()


def test_no_connection_is_down(server: Server) -> None:
    server.close()
    with pytest.raises(LinkDown):
        call(server.far_side(), FileRead("a"))

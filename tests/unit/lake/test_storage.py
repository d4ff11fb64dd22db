"""A folder behind the storage's interface, and what errors become."""

import errno
import os
import stat
from pathlib import Path

import pytest

from hosu.errors import (
    InputError,
    LakeError,
    LakeFullError,
    LakeReadOnlyError,
    LakeRefusedError,
    LakeUnreachableError,
)
from hosu.lake.storage import Storage, disk_error


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.open(str(tmp_path / "root"))


def test_what_was_put_is_got_listed_and_deleted(storage: Storage) -> None:
    storage.put("a/b/c.bin", b"one")
    storage.put("a/d.bin", b"three")

    assert storage.get("a/b/c.bin") == b"one"
    assert sorted((entry.path, entry.size) for entry in storage.list("a/")) == [("a/b/c.bin", 3), ("a/d.bin", 5)]
    storage.delete("a/d.bin")
    storage.delete("a/d.bin")
    assert [entry.path for entry in storage.list("a/")] == ["a/b/c.bin"]


def test_put_if_absent_never_replaces(storage: Storage) -> None:
    assert storage.put_if_absent("x", b"first")
    assert not storage.put_if_absent("x", b"second")
    assert storage.get("x") == b"first"


def test_an_absent_object_has_no_head_and_cannot_be_got(storage: Storage) -> None:
    assert storage.head("nothing") is None
    with pytest.raises(FileNotFoundError):
        storage.get("nothing")


def test_sync_passes_over_files_that_are_gone(storage: Storage) -> None:
    storage.put("a/b", b"1")
    storage.sync(["a/b", "a/gone"])
    assert storage.get("a/b") == b"1"
    assert storage.head("a/gone") is None


def test_a_missing_folder_is_not_made_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Storage.open(str(tmp_path / "none"), create=False)
    assert not (tmp_path / "none").exists()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file, not a folder"):
        Storage.open(str(tmp_path / "file"))


def test_secrets_show_neither_in_repr_nor_in_errors() -> None:
    storage = Storage.open("s3://bucket/lake", {"aws_access_key_id": "AKIA", "aws_secret_access_key": "hush"})
    assert "hush" not in repr(storage)
    assert repr(storage) == "Storage('s3://bucket/lake')"
    with pytest.raises(InputError) as caught:
        Storage.open("s3://bucket", {"aws_sekret": "hush"})
    assert "aws_sekret" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("root", ["gs://bucket", "http://host/x"])
def test_an_address_of_another_kind_is_refused(root: str) -> None:
    with pytest.raises(InputError, match="neither a folder nor an s3://"):
        Storage.open(root)


@pytest.mark.parametrize("root", ["s3://", "s3:///prefix"])
def test_an_address_without_a_bucket_is_refused_before_anybody_is_asked(root: str) -> None:
    with pytest.raises(InputError, match="names no bucket; write it as s3://bucket/prefix"):
        Storage.open(root)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Generic LocalFileSystem error: No space left on device (os error 28)", LakeFullError),
        ("Disk quota exceeded (os error 122)", LakeFullError),
        ("Unable to create dir x: Permission denied (os error 13)", LakeReadOnlyError),
        ("Read-only file system (os error 30)", LakeReadOnlyError),
        ("Operation not permitted (os error 1)", LakeReadOnlyError),
        ("[Errno 28] No space left on device: 'x'", LakeFullError),
        ("[Errno 1] Operation not permitted: 'x'", LakeReadOnlyError),
        ("error sending request for url (http://127.0.0.1:1/)", LakeUnreachableError),
        (
            "Generic S3 error: Error performing GET http://h/b/k in 1ms - HTTP error: operation timed out",
            LakeUnreachableError,
        ),
        ("Generic S3 error: x - Server returned non-2xx status code: 503 Service Unavailable: y", LakeUnreachableError),
        ("Generic S3 error: x - Server returned non-2xx status code: 429 Too Many Requests: y", LakeUnreachableError),
        ("Generic LocalFileSystem error: x: Input/output error (os error 5)", LakeUnreachableError),
        ("[Errno 24] Too many open files: 'x'", LakeUnreachableError),
        ("Generic S3 error: x - Server returned non-2xx status code: 403 Forbidden: y", LakeRefusedError),
        ("Generic S3 error: x - Server returned non-2xx status code: 400 Bad Request: y", LakeRefusedError),
        ("Generic LocalFileSystem error: Unable to open file x: Not a directory (os error 20)", LakeRefusedError),
        ("Generic LocalFileSystem error: Unable to rename file: Is a directory (os error 21)", LakeRefusedError),
        ('Invalid path segment - got "a//b" expected: "a/b"\n\nDebug source:\n(os error 5)', LakeRefusedError),
        ("", LakeRefusedError),
    ],
)
def test_messages_of_the_system_become_our_errors(text: str, kind: type[LakeError]) -> None:
    error = disk_error("/lake/x", text)
    assert type(error) is kind
    assert "/lake/x" in str(error)
    assert error.retryable is (kind is LakeUnreachableError)


def test_a_file_in_the_way_of_a_folder_is_a_fault_that_does_not_pass(storage: Storage) -> None:
    storage.put("a", b"1")
    with pytest.raises(LakeRefusedError, match="Not a directory"):
        storage.put("a/b", b"1")


def test_a_folder_that_cannot_be_synced_is_named(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put("a/b", b"1")
    fsync = os.fsync

    def broken(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(LakeUnreachableError, match=r"root/a cannot be reached .*Input/output error"):
        storage.sync(["a/b"])

"""A folder behind the storage's interface, and what errors become."""

from pathlib import Path

import pytest

from hosu.errors import InputError, LakeError, LakeFullError, LakeReadOnlyError, LakeUnreachableError
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Generic LocalFileSystem error: No space left on device (os error 28)", LakeFullError),
        ("Disk quota exceeded (os error 122)", LakeFullError),
        ("Unable to create dir x: Permission denied (os error 13)", LakeReadOnlyError),
        ("Read-only file system (os error 30)", LakeReadOnlyError),
        ("Operation not permitted (os error 1)", LakeReadOnlyError),
        ("error sending request for url (http://127.0.0.1:1/)", LakeUnreachableError),
    ],
)
def test_messages_of_the_system_become_our_errors(text: str, kind: type[LakeError]) -> None:
    error = disk_error("/lake/x", text)
    assert type(error) is kind
    assert "/lake/x" in str(error)

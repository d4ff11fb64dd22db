import pytest

from hosu.replacing import replace_file


def test_a_private_file_is_its_owners_only_and_so_is_its_folder(tmp_path):
    path = tmp_path / "cache" / "token.json"
    replace_file(path, b"one", private=True)
    replace_file(path, b"two", private=True)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["token.json"]


def test_a_link_in_the_files_place_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "status.json").symlink_to(tmp_path / "other")
    replace_file(tmp_path / "status.json", b"ours", durable=False)
    assert (tmp_path / "other").read_bytes() == b"theirs"
    assert (tmp_path / "status.json").read_bytes() == b"ours"


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        replace_file(tmp_path / "taken", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]

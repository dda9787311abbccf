"""What packed shards say of themselves."""

from hypothesis import given
from hypothesis import strategies as st

from striate.data.shardinfo import NAME, ShardInfo


@given(st.lists(st.text(), max_size=5).map(tuple), st.sampled_from(["train", "val", "test"]), st.integers(0, 10**6))
def test_it_comes_back_as_it_was_written(classes: tuple[str, ...], split: str, shards: int) -> None:
    info = ShardInfo(classes, split, shards)
    assert ShardInfo.from_bytes(info.to_bytes()) == info
    assert info.to_bytes().isascii()


def test_other_readers_of_webdataset_shards_pass_its_name_over() -> None:
    """They look for a dot after the last slash, and leave out what is between two underscores at either end."""
    assert "." not in NAME
    assert NAME.startswith("__")
    assert NAME.endswith("__")

import torch

from rsseg.models.context import BlockContext, ChannelContext, PositionContext
from rsseg.prediction.contexts import Contexts, add_contexts, change_tensors, named_tensors


def some(value: float) -> Contexts:
    """A block's context and that of a single module, with the same number everywhere."""
    channel = ChannelContext(positions=torch.tensor([3]), gram=torch.full((1, 2, 2), value))
    position = PositionContext(
        positions=torch.tensor([3]),
        keys=torch.full((1, 1), value),
        values=torch.full((1, 2), value),
        key_values=torch.full((1, 1, 2), value),
    )
    return (BlockContext(position=position, channel=channel), channel)


def test_tensors_are_named_by_the_way_to_them() -> None:
    assert set(named_tensors(some(1.0))) == {
        "0.position.positions",
        "0.position.keys",
        "0.position.values",
        "0.position.key_values",
        "0.channel.positions",
        "0.channel.gram",
        "1.positions",
        "1.gram",
    }


def test_changing_tensors_keeps_everything_else() -> None:
    changed = change_tensors(some(1.0), lambda name, t: t + 1 if name.endswith("gram") else t)

    assert [type(context) for context in changed] == [BlockContext, ChannelContext]
    found = named_tensors(changed)
    assert found["0.channel.gram"].tolist() == found["1.gram"].tolist() == [[[2.0, 2.0], [2.0, 2.0]]]
    assert found["0.position.keys"].tolist() == [[1.0]]


def test_contexts_add_up_one_by_one() -> None:
    found = named_tensors(add_contexts(some(1.0), some(0.25)))

    assert all(found[n].unique().tolist() == [6] for n in found if n.endswith("positions"))
    assert all(found[n].unique().tolist() == [1.25] for n in found if not n.endswith("positions"))

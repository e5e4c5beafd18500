"""What the process of an application under load holds is flat: the two-minute form of `long_run.py`."""

from pathlib import Path

from tests.pipeline.long_run import Held, watched

WARM = slice(6, 9)  # of twelve looks: until then caches fill, as far as they will in two minutes


def _most(held: list[Held]) -> Held:
    return Held(*(max(each[at] for each in held) for at in range(4)))


def test_flat(tmp_path: Path) -> None:
    """Two minutes at 40 requests a second, failures and leaks among them: no more memory, files, threads or objects.

    Memory may grow by 4 MiB and objects by 2,000 in the last half minute: 1,200 requests, each of ten spans' objects,
    would be 20 MiB and tens of thousands.
    """
    held = list(watched(tmp_path, 2.0))
    assert len(held) >= 11
    before, after = _most(held[WARM]), _most(held[-3:])
    assert after.memory <= before.memory + (4 << 20), held
    assert after.files <= before.files + 2, held
    assert after.threads <= before.threads + 1, held
    assert after.objects <= before.objects + 2_000, held

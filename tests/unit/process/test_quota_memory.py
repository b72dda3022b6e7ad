from __future__ import annotations

from chalicelib.core.quotas.allowance import cut_off
from chalicelib.core.quotas.shared_bucket import QuotaKey
from chalicelib.process.quota_memory import QuotaMemory
from tests.kit.threads import run_together

NOW_US = 1_795_252_800_000_000


def key(subject: str) -> QuotaKey:
    return QuotaKey("default", subject, "reads")


def test_it_remembers_so_many_and_drops_the_idle_ones_first() -> None:
    memory = QuotaMemory(2)
    for name in ("a", "b"):
        memory.change(key(name), lambda allowance: cut_off(allowance, NOW_US, 1_000))
    assert memory.allowance(key("a")).is_cut_off
    memory.allowance(key("c"))
    assert memory.allowance(key("a")).is_cut_off
    assert not memory.allowance(key("b")).is_cut_off


def test_no_token_is_spent_twice() -> None:
    memory = QuotaMemory()
    memory.change(key("a"), lambda allowance: cut_off(allowance, NOW_US, 1_000))
    verdicts: list[str] = []

    def work() -> None:
        verdicts.extend(memory.spend(key("a"), 100, NOW_US).verdict for _ in range(20))

    run_together([work] * 5)
    assert verdicts.count("allowed") == 50
    assert verdicts.count("refused") == 50


def test_one_lock_a_principal() -> None:
    memory = QuotaMemory()
    assert memory.asking(key("a")) is memory.asking(key("a"))
    assert memory.asking(key("a")) is not memory.asking(key("b"))

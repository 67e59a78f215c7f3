"""What `gpu.py` makes of lines as both sides print them: python3 tests/bench/gpu_test.py"""

import argparse
import unittest

import gpu

OURS = [
    {"batch": 1, "context": 512, "step_ms": 5.0, "tokens_per_second": 200.0, "read_limits": [2.9e12, 2.9e12], "of_read_limit": 0.9},
    {"batch": 8, "context": 512, "step_ms": 6.0, "tokens_per_second": 1333.0, "of_read_limit": 0.8},
    {"tokens": 512, "step_ms": 30.0, "tokens_per_second": 17000.0},
    {"picture_tokens": 1280, "question_tokens": 200, "picture_ms": 30.0, "first_token_ms": 100.0},
    {"layers": 28, "length": 4096, "trained": 20, "step_seconds": 2.0, "peak_bytes": 3},
]
PEER = {"peer": "transformers 5, torch 2", "size": "7b", "weights": "bf16", "device": "a GPU"}
THEIRS = [
    PEER | {"tokens": 512, "step_ms": 45.0},
    PEER | {"batch": 1, "context": 512, "step_ms": 10.0, "tokens_per_second": 100.0},
    PEER | {"batch": 64, "context": 512, "step_ms": 20.0, "tokens_per_second": 3200.0},
    PEER | {"picture_tokens": 1280, "question_tokens": 200, "first_token_ms": 120.0},
    PEER | {"length": 4096, "trained": 20, "step_seconds": 3.0, "peak_bytes": 4},
]


class Merging(unittest.TestCase):
    def test_figures_of_both_sides_are_compared(self):
        rows = {row["figure"]: row for row in gpu.merge({"loupe": OURS * 2, "transformers": THEIRS})}
        self.assertEqual(set(rows), {"decode, 1 at once", "prefill, 512 tokens", "picture", "tune, 4096 tokens"})
        decode = rows["decode, 1 at once"]
        self.assertEqual((decode["loupe"], decode["transformers"]), ([200.0, 200.0], [100.0]))
        self.assertEqual((decode["times_better"], decode["reached"]), (2.0, True))
        self.assertEqual(rows["prefill, 512 tokens"]["times_better"], 1.5)
        self.assertEqual(rows["tune, 4096 tokens"]["times_better"], 1.5)
        # Less time is better, and this is short of the goal.
        self.assertEqual((rows["picture"]["times_better"], rows["picture"]["reached"]), (1.2, False))

    def test_the_median_of_the_rounds_counts(self):
        rounds = [OURS[0] | {"tokens_per_second": speed} for speed in (90.0, 150.0, 151.0)]
        [row] = gpu.merge({"loupe": rounds, "transformers": THEIRS})
        self.assertEqual(row["times_better"], 1.5)

    def test_nothing_is_compared_before_both_sides_ran(self):
        self.assertEqual(gpu.merge({"loupe": OURS, "transformers": []}), [])

    def test_both_sides_measure_the_same(self):
        args = argparse.Namespace(
            size="7b", device="cuda", batch="1,8", context=512, steps=64, length=4096, tune_steps=3, loupe="loupe"
        )
        for side in gpu.commands(args).values():
            self.assertEqual(side[0][-6:], ["--batch", "1,8", "--context", "512", "--steps", "64"])
            self.assertEqual(side[-1][-4:], ["--length", "4096", "--steps", "3"])


if __name__ == "__main__":
    unittest.main()

#!/bin/sh
# Shows that Loupe with the feature `cuda` builds and links on a machine with neither CUDA nor a GPU, and what it says
# there. Where there is a GPU, the tests of every kernel, of the model and of its training run on it too; where libnvrtc is found, the
# kernels are compiled for an H100 (PyPI's nvidia-cuda-nvrtc has it: put its `lib` on LD_LIBRARY_PATH).
set -eu
cd "$(dirname "$0")/../.."

run() {
    cargo test --release --workspace --exclude loupe-web-builder --features loupe/cuda "$@"
}

# The program is built with the tests that start it, so that nothing is compiled for it alone.
run --no-run --test compliance
run --test golden -- cuda:: --nocapture
run --lib -- cuda:: gpu:: --nocapture
run --test gradients -- gpu:: --nocapture
python3 tests/bench/gpu_test.py

if ldd target/release/loupe | grep -E 'libcuda|libnvrtc|libcublas'; then
    echo "the program is linked with CUDA: it would not start without it" >&2
    exit 1
fi
bench="target/release/loupe bench decode --device cuda --model random:3b"
if ldconfig -p | grep -q libcuda.so.1; then
    $bench --batch 1 --steps 16
    exec target/release/loupe bench tune --device cuda --model random:3b --length 2048 --steps 3
fi
if said=$($bench 2>&1); then
    echo "no GPU was needed: $said" >&2
    exit 1
fi
echo "$said"
echo "$said" | grep -q 'libcuda.so.1'
echo "ok: built, linked, and it says what is missing"

// CUDA on the CPU, as far as the kernels need it: blocks run one after the other, the threads of a block as fibers that
// take turns at barriers. Slow, and exact about who waits for whom.

#include <csetjmp>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __shared__ static thread_local
#define __launch_bounds__(threads)

struct uint4 { unsigned x, y, z, w; };
struct Place { unsigned x = 0, y = 0, z = 0; };
static thread_local Place threadIdx, blockIdx, blockDim, gridDim;

using std::fabs;
inline int min(int a, int b) { return a < b ? a : b; }
inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
inline unsigned __float_as_uint(float v) { unsigned bits; memcpy(&bits, &v, 4); return bits; }
inline float __uint_as_float(unsigned bits) { float v; memcpy(&v, &bits, 4); return v; }
// The compiler is not allowed to bring a product and a sum together here.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline int atomicAdd(int* at, int more) { int before = *at; *at += more; return before; }
inline uint4 __ldcs(const uint4* at) { return *at; }

namespace emulation {

const int WARP = 32, MOST_THREADS = 1024;
const size_t STACK = 64 << 10;

struct Barrier {
    int expected = 0, arrived = 0;
    unsigned round = 0;
};

struct Fiber {
    std::vector<char> stack;
    ucontext_t start;
    jmp_buf place;
    bool begun = false, ended = false;
};

struct Block {
    std::vector<Fiber> fibers = std::vector<Fiber>(MOST_THREADS);
    jmp_buf scheduler;
    int running = 0;
    Barrier all, warps[MOST_THREADS / WARP];
    // What the lanes of a warp show each other; two rounds, so that one barrier suffices.
    unsigned shown[2][MOST_THREADS][6];
    unsigned turn[MOST_THREADS];
    void (*body)(void*);
    void* given;
};

static thread_local Block block;

inline void yield() {
    Fiber& own = block.fibers[block.running];
    if (!_setjmp(own.place)) _longjmp(block.scheduler, 1);
}

inline void wait(Barrier& barrier) {
    unsigned round = barrier.round;
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        barrier.round++;
        return;
    }
    while (barrier.round == round) yield();
}

/// A fiber runs the same thread of one block after the other.
inline void enter() {
    for (;;) {
        block.body(block.given);
        block.fibers[block.running].ended = true;
        // A thread that has returned is waited for no longer.
        Barrier* left[2] = {&block.all, &block.warps[block.running / WARP]};
        for (Barrier* barrier : left)
            if (--barrier->expected == barrier->arrived && barrier->arrived > 0) barrier->arrived = 0, barrier->round++;
        yield();
    }
}

/// Makes what a fiber starts from.
inline void prepare(Fiber& fiber) {
    fiber.stack.resize(STACK);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = STACK;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, enter, 0);
}

inline void run_block(int threads) {
    block.all = Barrier();
    block.all.expected = threads;
    for (int warp = 0; warp * WARP < threads; warp++) {
        block.warps[warp] = Barrier();
        block.warps[warp].expected = min(WARP, threads - warp * WARP);
    }
    for (int n = 0; n < threads; n++) {
        if (block.fibers[n].stack.empty()) prepare(block.fibers[n]);
        block.fibers[n].ended = false;
        block.turn[n] = 0;
    }
    for (volatile int left = threads; left > 0;) {
        for (volatile int n = 0; n < threads; n = n + 1) {
            Fiber& fiber = block.fibers[n];
            if (fiber.ended) continue;
            block.running = n;
            threadIdx.x = n;
            if (!_setjmp(block.scheduler)) {
                if (fiber.begun) _longjmp(fiber.place, 1);
                fiber.begun = true;
                setcontext(&fiber.start);
            }
            if (block.fibers[n].ended) left = left - 1;
        }
    }
}

/// Shows a value to the lanes of the warp; gives what they show.
inline const unsigned (*show(const unsigned* values, int count))[6] {
    int own = block.running;
    unsigned turn = block.turn[own]++ % 2;
    for (int i = 0; i < count; i++) block.shown[turn][own][i] = values[i];
    wait(block.warps[own / WARP]);
    return &block.shown[turn][own / WARP * WARP];
}

template <class... Args, size_t... Nth>
void call(void (*kernel)(Args...), void** args, std::index_sequence<Nth...>) {
    kernel(*(Args*)args[Nth]...);
}

template <class... Args>
void launch(void (*kernel)(Args...), const unsigned* grid, unsigned threads, void** args) {
    struct Given {
        void (*kernel)(Args...);
        void** args;
    } given = {kernel, args};
    block.given = &given;
    block.body = [](void* given) {
        Given* own = (Given*)given;
        call(own->kernel, own->args, std::index_sequence_for<Args...>());
    };
    gridDim.x = grid[0], gridDim.y = grid[1], gridDim.z = grid[2];
    blockDim.x = threads;
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) run_block(threads);
}

}  // namespace emulation

inline void __syncthreads() { emulation::wait(emulation::block.all); }

template <class T>
inline T __shfl_xor_sync(unsigned, T value, int with) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 32 or 64 bits");
    unsigned bits[2];
    memcpy(bits, &value, sizeof(T));
    auto shown = emulation::show(bits, sizeof(T) / 4);
    T other;
    memcpy(&other, shown[(emulation::block.running % 32) ^ with], sizeof(T));
    return other;
}

inline float half_of(unsigned pair, int second) { return __uint_as_float(second ? pair & 0xffff0000u : pair << 16); }

/// PTX's mma.m16n8k16 for bf16, by the table of its fragments.
inline void emulated_mma(float d[4], const unsigned a[4], unsigned b0, unsigned b1) {
    const unsigned own[6] = {a[0], a[1], a[2], a[3], b0, b1};
    auto shown = emulation::show(own, 6);
    int lane = emulation::block.running % 32;
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            int a_lane = row % 8 * 4 + k % 8 / 2, a_part = row / 8 + k / 8 * 2;
            int b_lane = column * 4 + k % 8 / 2, b_part = 4 + k / 8;
            d[i] += half_of(shown[a_lane][a_part], k % 2) * half_of(shown[b_lane][b_part], k % 2);
        }
    }
}

#define KERNEL(name)                                                                                  \
    extern "C" __attribute__((visibility("default"))) void launch_##name(                             \
        const unsigned* grid, unsigned threads, void** args                                           \
    ) {                                                                                               \
        emulation::launch(name, grid, threads, args);                                                 \
    }

// What the kernels share. Plain CUDA C++ without headers, so that NVRTC needs no toolkit and the tests can compile the
// same text for the CPU (tests/golden/cuda/shim.h).
//
// Given at compile time: HEAD_DIM (width of a head), GROUP (query heads of a key head), KV_HEADS (key heads).

typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;

/// Tokens of a block of keys and values.
#define BLOCK 16
#define ALL_LANES 0xffffffffu
#define INFINITE __uint_as_float(0x7f800000u)

__device__ inline float widen(bf16 v) { return __uint_as_float((u32)v << 16); }

/// Rounds to the nearest, ties to even; what is not a number stays so.
__device__ inline bf16 narrow(float v) {
    u32 bits = __float_as_uint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ inline u32 pack(float low, float high) { return (u32)narrow(low) | ((u32)narrow(high) << 16); }
__device__ inline float low(u32 pair) { return __uint_as_float(pair << 16); }
__device__ inline float high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

/// Sum of products of eight numbers.
__device__ inline float dot8(uint4 a, uint4 b) {
    return low(a.x) * low(b.x) + high(a.x) * high(b.x) + low(a.y) * low(b.y) + high(a.y) * high(b.y)
         + low(a.z) * low(b.z) + high(a.z) * high(b.z) + low(a.w) * low(b.w) + high(a.w) * high(b.w);
}

/// Turns the two halves of a head's pair by an angle.
__device__ inline void turn(float& a, float& b, float angle) {
    float sine, cosine;
    sincosf(angle, &sine, &cosine);
    float turned = a * cosine - b * sine;
    b = b * cosine + a * sine;
    a = turned;
}

__device__ inline float silu(float v) { return v / (1.0f + expf(-v)); }

template <typename T>
__device__ inline T warp_sum(T v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(ALL_LANES, v, step);
    return v;
}

__device__ inline float warp_max(float v) {
    for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, step));
    return v;
}

/// The sum over a block of whole warps, for every thread.
template <typename T>
__device__ inline T block_sum(T v) {
    __shared__ T parts[32];
    int warps = blockDim.x / 32;
    v = warp_sum(v);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    T sum = 0;
    for (int warp = 0; warp < warps; warp++) sum += parts[warp];
    __syncthreads();
    return sum;
}

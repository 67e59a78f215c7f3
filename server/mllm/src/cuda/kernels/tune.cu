// What tuning adds: the gradient of every operation of a decoder layer, and of the loss.

/// The angle by which the frequency i of a token turns.
__device__ inline float angle(const int* positions, const float* frequencies, const int* axes, int row, int i) {
    return (float)positions[row * 3 + axes[i]] * frequencies[i];
}

/// Grid: rows. As rope_kv, but keys and values are [rows, KV_HEADS, HEAD_DIM] as well.
extern "C" __global__ void turn_heads(
    const float* qkv, const float* bias, const int* positions, const float* frequencies, const int* axes,
    bf16* queries, bf16* keys, bf16* values
) {
    const int half = HEAD_DIM / 2, heads = GROUP * KV_HEADS, row_heads = heads + 2 * KV_HEADS;
    size_t row = blockIdx.x;
    for (int n = threadIdx.x; n < row_heads * half; n += blockDim.x) {
        int head = n / half, i = n % half, first = head * HEAD_DIM + i;
        const float* from = qkv + row * row_heads * HEAD_DIM + first;
        float a = from[0] + bias[first], b = from[half] + bias[first + half];
        if (head < heads + KV_HEADS) {
            float sine, cosine;
            sincosf(angle(positions, frequencies, axes, row, i), &sine, &cosine);
            float turned = a * cosine - b * sine;
            b = b * cosine + a * sine;
            a = turned;
        }
        bf16* to = head < heads ? queries + (row * heads + head) * HEAD_DIM
                 : head < heads + KV_HEADS ? keys + (row * KV_HEADS + head - heads) * HEAD_DIM
                 : values + (row * KV_HEADS + head - heads - KV_HEADS) * HEAD_DIM;
        to[i] = narrow(a);
        to[i + half] = narrow(b);
    }
}

/// Grid: rows. The gradient of qkv from those of what turn_heads gives.
extern "C" __global__ void turn_back(
    const float* queries, const float* keys, const float* values, const int* positions, const float* frequencies,
    const int* axes, bf16* qkv
) {
    const int half = HEAD_DIM / 2, heads = GROUP * KV_HEADS, row_heads = heads + 2 * KV_HEADS;
    size_t row = blockIdx.x;
    for (int n = threadIdx.x; n < row_heads * half; n += blockDim.x) {
        int head = n / half, i = n % half;
        const float* from = head < heads ? queries + (row * heads + head) * HEAD_DIM
                          : head < heads + KV_HEADS ? keys + (row * KV_HEADS + head - heads) * HEAD_DIM
                          : values + (row * KV_HEADS + head - heads - KV_HEADS) * HEAD_DIM;
        float a = from[i], b = from[i + half];
        if (head < heads + KV_HEADS) {
            float sine, cosine;
            sincosf(angle(positions, frequencies, axes, row, i), &sine, &cosine);
            float turned = a * cosine + b * sine;
            b = b * cosine - a * sine;
            a = turned;
        }
        bf16* to = qkv + (row * row_heads + head) * HEAD_DIM;
        to[i] = narrow(a);
        to[i + half] = narrow(b);
    }
}

/// The greatest value over a block of whole warps, for every thread.
__device__ inline float block_max(float v) {
    __shared__ float parts[32];
    v = warp_max(v);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    int warps = blockDim.x / 32;
    float most = parts[0];
    for (int warp = 1; warp < warps; warp++) most = fmaxf(most, parts[warp]);
    __syncthreads();
    return most;
}

/// Turns the first `seen` scores of a row into exp(score - greatest); gives one over their sum, and the greatest.
__device__ inline float exponentials(float* scores, int seen, float& greatest) {
    float sum = 0.0f;
    greatest = -INFINITE;
    for (int i = threadIdx.x; i < seen; i += blockDim.x) greatest = fmaxf(greatest, scores[i]);
    greatest = block_max(greatest);
    for (int i = threadIdx.x; i < seen; i += blockDim.x) sum += scores[i] = expf(scores[i] - greatest);
    return 1.0f / block_sum(sum);
}

/// Grid: (queries, planes). weights [planes, queries, keys] = softmax of the scores, which are spoilt; query q sees keys
/// 0 to first + q, the weights of others are 0.
extern "C" __global__ void weigh(float* scores, bf16* weights, int first, int keys) {
    size_t at = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * keys;
    int seen = first + blockIdx.x + 1;
    float greatest, scale = exponentials(scores + at, seen, greatest);
    for (int i = threadIdx.x; i < keys; i += blockDim.x)
        weights[at + i] = i < seen ? narrow(scores[at + i] * scale) : 0;
}

/// Grid: as weigh. slopes are the gradient of the weights; gives the weights again, and the gradient of the scores.
extern "C" __global__ void weigh_back(
    float* scores, const float* slopes, bf16* weights, bf16* back, int first, int keys
) {
    size_t at = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * keys;
    int seen = first + blockIdx.x + 1;
    float greatest, scale = exponentials(scores + at, seen, greatest), mean = 0.0f;
    for (int i = threadIdx.x; i < seen; i += blockDim.x) mean += scores[at + i] * scale * slopes[at + i];
    mean = block_sum(mean);
    for (int i = threadIdx.x; i < keys; i += blockDim.x) {
        float weight = i < seen ? scores[at + i] * scale : 0.0f;
        weights[at + i] = narrow(weight);
        back[at + i] = i < seen ? narrow(weight * (slopes[at + i] - mean)) : 0;
    }
}

/// Grid: (parts of a row, rows). out [rows, inner] = silu(gate) * up, where gate_up holds [rows, 2 * inner].
extern "C" __global__ void gate(const float* gate_up, bf16* out, int inner) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= inner) return;
    const float* row = gate_up + (size_t)blockIdx.y * 2 * inner;
    out[(size_t)blockIdx.y * inner + i] = narrow(silu(row[i]) * row[inner + i]);
}

/// Grid: as gate. The gradient of gate_up from that of what gate gives, slopes [rows, inner].
extern "C" __global__ void gate_back(const float* gate_up, const float* slopes, bf16* back, int inner) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= inner) return;
    size_t row = (size_t)blockIdx.y * 2 * inner;
    float gate = gate_up[row + i], up = gate_up[row + inner + i], slope = slopes[(size_t)blockIdx.y * inner + i];
    float sigmoid = 1.0f / (1.0f + expf(-gate));
    back[row + i] = narrow(slope * up * sigmoid * (1.0f + gate * (1.0f - sigmoid)));
    back[row + inner + i] = narrow(slope * gate * sigmoid);
}

/// Grid: rows of slopes. Adds to `into` the gradient of x from that of its norm, slopes [rows, width]; rows of x and
/// `into` [.., width] are taken in the order that `order` names, which may be null.
extern "C" __global__ void norm_back(
    const float* x, const float* weight, const float* slopes, const int* order, float* into, int width, float eps
) {
    size_t from = (size_t)(order ? order[blockIdx.x] : (int)blockIdx.x) * width;
    slopes += (size_t)blockIdx.x * width;
    float squares = 0.0f, product = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        squares += x[from + i] * x[from + i];
        product += slopes[i] * weight[i] * x[from + i];
    }
    float scale = rsqrtf(block_sum(squares) / width + eps);
    float pull = block_sum(product) * scale * scale * scale / width;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        into[from + i] += slopes[i] * weight[i] * scale - x[from + i] * pull;
}

/// Grid: parts of count.
extern "C" __global__ void copy(const float* from, float* to, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = from[i];
}

/// Grid: parts of count. The same numbers in bf16.
extern "C" __global__ void narrowed(const float* from, bf16* to, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = narrow(from[i]);
}

/// SplitMix64's finaliser.
__device__ inline u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/// Numbers whose draws come from one state, as in model/low_rank.rs.
#define DRAWS (1 << 12)

/// What number i is multiplied by. draws: the seed mixed with the map's, and the draw below which a number is dropped.
__device__ inline float kept(const u64* draws, u64 i, float keep) {
    u64 chunk = mix(i / DRAWS + 1);
    u64 state = mix(draws[0] ^ (chunk << 32 | chunk >> 32)) + (i % DRAWS + 1) * 0x9e3779b97f4a7c15ull;
    return mix(state) < draws[1] ? 0.0f : keep;
}

/// Grid: parts of count. out = x with numbers dropped, those kept times `keep`.
extern "C" __global__ void dropped(const bf16* x, bf16* out, const u64* draws, int count, float keep) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = narrow(widen(x[i]) * kept(draws, i, keep));
}

/// Grid: parts of count. Adds to `into` the gradient of x from that of what `dropped` gives.
extern "C" __global__ void add_dropped(const float* slopes, float* into, const u64* draws, int count, float keep) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) into[i] += slopes[i] * kept(draws, i, keep);
}

/// What `surprise` says of a row: the surprise of its target in nats, one over the sum of exponentials, and 1 where the
/// target has the greatest score.
#define SAID 3

/// Grid: rows. scores [rows, classes] become exp(score - greatest).
extern "C" __global__ void surprise(float* scores, const int* targets, float* said, int classes) {
    float* row = scores + (size_t)blockIdx.x * classes;
    float at = row[targets[blockIdx.x]], greatest;
    __syncthreads();
    float scale = exponentials(row, classes, greatest);
    if (threadIdx.x == 0) {
        said += blockIdx.x * SAID;
        said[0] = greatest - at - logf(scale);
        said[1] = scale;
        said[2] = at >= greatest ? 1.0f : 0.0f;
    }
}

/// Grid: (parts of a row, rows). The gradient of the scores from that of the surprises, slopes [rows], given what
/// `surprise` left.
extern "C" __global__ void surprise_back(
    const float* scores, const int* targets, const float* said, const float* slopes, bf16* back, int classes
) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
    if (i >= classes) return;
    size_t at = (size_t)row * classes + i;
    float likelihood = scores[at] * said[row * SAID + 1];
    back[at] = narrow(slopes[row] * (likelihood - (i == targets[row] ? 1.0f : 0.0f)));
}

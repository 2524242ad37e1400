// borders.cu - right kernels whose costs and results change at a border: of a segment of lanes,
// of a word, of a sector.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

// out[32 i + lane]: the lane whose number shuffle i brought here.
__global__ void shuffles_by(int width, int by, int* out) {
    const int lane = static_cast<int>(threadIdx.x);
    const unsigned all = 0xffffffffu;
    out[lane] = __shfl_sync(all, lane, by, width);
    out[lane + 32] = __shfl_up_sync(all, lane, static_cast<unsigned>(by), width);
    out[lane + 64] = __shfl_down_sync(all, lane, static_cast<unsigned>(by), width);
    out[lane + 96] = __shfl_xor_sync(all, lane, by, width);
}

// Elements of one type, so many apart, through shared memory: by the first `count` threads.
template <class Element>
__device__ void move_elements(int count,
                              int stride,
                              const unsigned char* in,
                              unsigned char* out) {
    __shared__ __align__(16) unsigned char room[65 * 3 * 16];
    auto* elements = reinterpret_cast<Element*>(room);
    const int t = static_cast<int>(threadIdx.x);
    if (t < count) elements[t * stride] = reinterpret_cast<const Element*>(in)[t * stride];
    __syncthreads();
    if (t < count) reinterpret_cast<Element*>(out)[t * stride] = elements[t * stride];
}

#define KVLAB_ELEMENTS(bytes, Element)                                                  \
    __global__ void elements_of_##bytes(int count, int stride, const unsigned char* in, \
                                        unsigned char* out) {                           \
        move_elements<Element>(count, stride, in, out);                                 \
    }
KVLAB_ELEMENTS(1, unsigned char)
KVLAB_ELEMENTS(2, unsigned short)
KVLAB_ELEMENTS(4, float)
KVLAB_ELEMENTS(8, float2)
KVLAB_ELEMENTS(16, float4)

}  // namespace kvlab::KVLAB_KERNELS

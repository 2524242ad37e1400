// pack_tensors.hpp - chapter 2: from a file's tensors to one matrix in panels.
#pragma once

#include <span>

#include <kvlab/tensor/packed_matrix.hpp>
#include <kvlab/tensor/thread_pool.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// Tensors [n_i, K] with the same K, their outputs one after the other, in their own format; as
// floats if they have several formats. Memory comes from `memory`, if there is one. Throws
// Error for no tensors and for tensors that are not such matrices.
PackedMatrix pack_tensors(std::span<const TensorInfo* const> parts,
                          ThreadPool& pool,
                          MemoryPool* memory = nullptr);

}  // namespace kvlab

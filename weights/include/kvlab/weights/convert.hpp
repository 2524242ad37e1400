// convert.hpp - the same model with its matrices in another type.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <kvlab/weights/gguf_file.hpp>

namespace kvlab {

struct ConvertReport {
    Index converted = 0;  // matrices now of the wanted type (those that were: copied)
    Index vectors = 0;    // tensors of rank 1 (norms, biases): always F32
    std::vector<std::string> kept_f32;  // matrices whose row is not a multiple of the block
    Index bytes_in = 0, bytes_out = 0;  // of tensor data
};

// Writes `in` to `path` with every tensor of rank 2 and more in `type`. Tensors of rank 1
// become F32, and so does a matrix whose row is not a multiple of the block; the report lists
// the latter. A tensor that has the type already keeps its bytes. Metadata is kept, except for
// general.file_type and general.quantization_version, which describe the result.
// Throws Error as GgufWriter::write and quantize do; no partial file is left.
ConvertReport convert(const GgufFile& in, const std::filesystem::path& path, TensorType type);

// What to tell of it: a line for each matrix kept as F32, a sentence, and a RESULT line.
std::string describe_conversion(const GgufFile& in,
                                const std::string& out,
                                TensorType type,
                                const ConvertReport& report);

}  // namespace kvlab

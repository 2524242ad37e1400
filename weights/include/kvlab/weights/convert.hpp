// convert.hpp - the same model with its matrices in another type.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <kvlab/weights/gguf_file.hpp>

namespace kvlab {

struct ConvertReport {
    // A matrix whose row is not a multiple of the wanted type's block.
    struct Misfit {
        std::string name;
        TensorType type;  // what it is now
    };

    struct Share {
        Index tensors = 0, bytes = 0;
    };

    Index converted = 0;  // matrices now of the wanted type (those that were: copied)
    Index vectors = 0;    // tensors of rank 1 (norms, biases): always F32
    std::vector<Misfit> misfits;
    std::map<TensorType, Share> by_type;  // of all tensors of the result
    Index bytes_in = 0, bytes_out = 0;    // of tensor data
};

// Writes `in` to `path` with every tensor of rank 2 and more in `type`. Tensors of rank 1
// become F32. A matrix whose row is not a multiple of the block cannot take the type: of plain
// numbers (F32, F16, BF16) it becomes Q8_0 if its row is a multiple of 32; else it stays as it
// is, so that a file of few bits does not grow. The report lists these. A tensor that has the
// type already keeps its bytes. Metadata is kept, except for general.file_type, the type that
// most numbers in matrices have, and general.quantization_version, which describe the result.
// Throws Error as GgufWriter::write and quantize do; no partial file is left.
ConvertReport convert(const GgufFile& in, const std::filesystem::path& path, TensorType type);

// What to tell of it: a line for each misfit, one for each type with its tensors and bytes, and
// a RESULT line.
std::string describe_conversion(const GgufFile& in,
                                const std::string& out,
                                TensorType type,
                                const ConvertReport& report);

}  // namespace kvlab

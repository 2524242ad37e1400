#include <kvlab/attention/pack_tensors.hpp>

#include <algorithm>

namespace kvlab {

PackedMatrix pack_tensors(std::span<const TensorInfo* const> parts,
                          ThreadPool& pool,
                          MemoryPool* memory) {
    check(!parts.empty(), "load_matrix: no tensors");
    Index outputs = 0;
    TensorType type = parts[0]->type;
    for (const TensorInfo* part : parts) {
        check(part->shape.rank() == 2 && part->shape[1] == parts[0]->shape[1], part->name,
              ": expected a matrix of depth ",
              parts[0]->shape.rank() == 2 ? parts[0]->shape[1] : 0, ", found ", part->shape);
        outputs += part->shape[0];
        if (part->type != type) type = TensorType::f32;  // one format for all, exact for each
    }
    const Index K = parts[0]->shape[1];
    PackedMatrix packed(outputs, K, type, memory);
    Index first = 0;
    for (const TensorInfo* part : parts) {
        const Index rows = part->shape[0], row_bytes = bytes_for(part->type, K);
        // A panel's worth of rows at a time, so that loading needs no second copy of the model.
        pool.run((rows + kPanel - 1) / kPanel, [&](Index p) {
            const Index begin = p * kPanel, count = std::min(kPanel, rows - begin);
            const auto bytes =
                part->bytes.subspan(usize(begin * row_bytes), usize(count * row_bytes));
            if (part->type == type) return packed.set_outputs(first + begin, bytes);
            Tensor piece({count, K});
            dequantize(part->type, bytes, piece.flat());
            packed.set_outputs(first + begin, std::as_bytes(piece.flat()));
        });
        first += rows;
    }
    return packed;
}

}  // namespace kvlab

#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

void check_kv_shape(const char* store, const KvShape& shape) {
    const auto positive = [&](const char* field, Index value) {
        check(value >= 1 && value <= kMostOfKvShape, store, ": ", field, ": expected 1 to ",
              kMostOfKvShape, ", found ", value);
    };
    positive("layers", shape.layers);
    positive("query heads", shape.heads);
    positive("KV heads", shape.kv_heads);
    positive("head_dim", shape.head_dim);
    check(shape.heads % shape.kv_heads == 0, store, ": ", shape.heads,
          " query heads do not share ", shape.kv_heads, " KV heads evenly");
}

void check_attend(const char* store,
                  const KvShape& shape,
                  Index pending,
                  Index appended,
                  Index layer,
                  const View<const float>& q,
                  const View<float>& out) {
    check(pending > 0, store, ": attend() outside of a step, which begin() opens");
    check(layer >= 0 && layer < appended, store, ": layer ", layer, " has no keys yet");
    check_shape(q, {pending, shape.heads, shape.head_dim}, store);
    check_shape(out, {pending, shape.heads, shape.head_dim}, store);
}

}  // namespace kvlab

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

}  // namespace kvlab

// store_misuse.hpp - what every store of keys and values has to refuse, whoever keeps them.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include <kvlab/attention/kv_store.hpp>

#include "random_data.hpp"

namespace kvlab::test {

// attend() where no step is open, for a layer that has no rows, and with other shapes. The
// store holds nothing yet, keeps rows in host memory, and works as before after each refusal.
inline void check_attend_misuse(KvStore& store) {
    const KvShape s = store.shape();
    ThreadPool pool(1);
    const Index T = 3;
    const Tensor rows = random_tensor({T, s.kv_heads, s.head_dim}, 1);
    const Tensor q = random_tensor({T, s.heads, s.head_dim}, 2);
    Tensor out({T, s.heads, s.head_dim}), more({T + 1, s.heads, s.head_dim}),
        heads({T, s.heads + 1, s.head_dim});
    const auto attend = [&](Index layer) { store.attend(layer, q.view(), out.view(), pool); };
    CHECK_THROWS_AS(attend(0), Error);  // nothing has ever come
    store.begin(T);
    CHECK_THROWS_AS(attend(0), Error);  // no rows of this step
    store.append(0, rows.view(), rows.view());
    for (const Index layer : {Index{-1}, Index{1}, s.layers, std::numeric_limits<Index>::max(),
                              std::numeric_limits<Index>::min()})
        CHECK_THROWS_AS(attend(layer), Error);
    CHECK_THROWS_AS(store.attend(0, more.view(), out.view(), pool), Error);
    CHECK_THROWS_AS(store.attend(0, q.view(), more.view(), pool), Error);
    CHECK_THROWS_AS(store.attend(0, heads.view(), heads.view(), pool), Error);
    CHECK_NOTHROW(attend(0));
    for (Index layer = 1; layer < s.layers; ++layer) {
        store.append(layer, rows.view(), rows.view());
        CHECK_NOTHROW(attend(layer));
    }
    store.commit();
    CHECK_THROWS_AS(attend(0), Error);  // the step is over
    store.begin(T);
    store.append(0, rows.view(), rows.view());
    store.reset();
    CHECK_THROWS_AS(attend(0), Error);  // and this one is dropped
    CHECK(store.next_position() == 0);
    store.begin(T);
    store.append(0, rows.view(), rows.view());
    CHECK_NOTHROW(attend(0));
}

using StoreOfShape = std::function<std::unique_ptr<KvStore>(const KvShape&, Index capacity)>;

// Shapes that no model has: Error at the door, and nothing was allocated for them.
inline void check_bad_shapes(const StoreOfShape& make) {
    const KvShape good{2, 4, 2, 32};
    CHECK_NOTHROW(make(good, 10));
    constexpr Index kMost = std::numeric_limits<Index>::max(), kLeast = -kMost - 1;
    for (const Index bad : {kLeast, Index{-1}, Index{0}, Index{4097}, Index{1} << 58, kMost})
        for (Index KvShape::*field :
             {&KvShape::layers, &KvShape::heads, &KvShape::kv_heads, &KvShape::head_dim}) {
            KvShape shape = good;
            shape.*field = bad;
            CAPTURE(bad);
            CHECK_THROWS_AS(make(shape, 10), Error);
        }
    CHECK_THROWS_AS(make({2, 3, 2, 32}, 10), Error);  // heads that do not share evenly
    for (const Index capacity : {kLeast, Index{-64}, Index{-1}, Index{0}}) {
        CAPTURE(capacity);
        CHECK_THROWS_AS(make(good, capacity), Error);
    }
}

// Capacities whose bytes wrap around: each must be refused, never a small block.
inline void check_huge_capacities(const StoreOfShape& make) {
    std::vector<Index> capacities = {std::numeric_limits<Index>::max()};
    for (int e = 50; e <= 62; ++e)
        for (const Index near : {-64, -1, 0, 1, 63})
            capacities.push_back((Index{1} << e) + near);
    for (const KvShape& shape :
         {KvShape{2, 4, 2, 32}, KvShape{1, 1, 1, 64}, KvShape{3, 9, 9, 96}})
        for (const Index capacity : capacities) {
            CAPTURE(capacity);
            CHECK_THROWS_AS(make(shape, capacity), Error);
        }
}

}  // namespace kvlab::test

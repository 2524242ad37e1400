// random_steps.hpp - steps of random keys, values and queries for stores without a model.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>

#include "random_data.hpp"

namespace kvlab::test {

inline const KvShape kPairShape{5, 4, 2, 12};

struct RandomRows {
    RandomRows(Index layer, Index number, Index T)
        : k(random_tensor({T, 2, 12}, seed(layer, number, 0))),
          v(random_tensor({T, 2, 12}, seed(layer, number, 1))),
          q(random_tensor({T, 4, 12}, seed(layer, number, 2), 1.5f)) {}

    static std::uint64_t seed(Index layer, Index number, Index what) {
        return static_cast<std::uint64_t>((number * 11 + layer) * 3 + what + 1);
    }

    Tensor k, v, q;
};

// One step into any number of stores; the outputs of the last.
inline std::vector<float> step_all(const std::vector<KvStore*>& stores, Index number, Index T) {
    ThreadPool pool(1);
    std::vector<float> outputs;
    for (KvStore* store : stores) {
        outputs.clear();
        store->begin(T);
        for (Index layer = 0; layer < kPairShape.layers; ++layer) {
            const RandomRows rows(layer, number, T);
            Tensor out({T, 4, 12});
            store->append(layer, rows.k.view(), rows.v.view());
            store->attend(layer, rows.q.view(), out.view(), pool);
            outputs.insert(outputs.end(), out.flat().begin(), out.flat().end());
        }
        store->commit();
    }
    return outputs;
}

}  // namespace kvlab::test

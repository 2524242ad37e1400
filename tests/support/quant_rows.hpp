// quant_rows.hpp - rows as caches meet them, for the tests of step 6's formats.
#pragma once

#include <vector>

#include <kvlab/quant/coded_formats.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab::test {

using Row = std::vector<float>;

// Rows as caches meet them: normal, flat, with one outlier, small, and away from 0.
inline std::vector<Row> many_rows(Index D, int count) {
    Rng rng(61);
    std::vector<Row> rows;
    for (int r = 0; r < count; ++r) {
        Row row(usize(D));
        for (float& x : row) {
            x = r % 5 == 1 ? 2 * rng.uniform() - 1 : rng.normal();
            if (r % 5 == 3) x *= 1e-3f;
            if (r % 5 == 4) x += 3.0f;
        }
        if (r % 5 == 2) at(row, rng.below(D)) *= 20.0f;
        rows.push_back(std::move(row));
    }
    return rows;
}

inline Row rounded(Format code, Row row) {
    round_trip(code, row);
    return row;
}

}  // namespace kvlab::test

// Rule 5: tables that do not depend on anybody's libm. What breaks them: angles in float,
// halves instead of adjacent pairs, an argument reduction that is too short.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/rope.hpp>

#include "random_data.hpp"

using namespace kvlab;

namespace {

// |value - truth| in units of the last place of a double near truth.
double ulps(double value, long double truth) {
    const long double unit = std::ldexp(1.0L, std::ilogb(static_cast<double>(truth)) - 52);
    return static_cast<double>(std::fabs((static_cast<long double>(value) - truth) / unit));
}

std::uint64_t table_checksum(const RopeTable& table) {
    Checksum sum;
    const auto half = usize(table.rope_dim() / 2);
    for (Index p = 0; p < table.positions(); ++p) {
        sum.add({table.cos(p), half});
        sum.add({table.sin(p), half});
    }
    return sum.value();
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("rope: sin_cos is within 1.1 ulp of long double and nearly always exact") {
    Rng rng(1);
    int exact = 0, count = 0;
    double worst = 0;
    const auto look = [&](double x) {
        const SinCos value = sin_cos(x);
        for (const auto& [got, truth] :
             {std::pair{value.sin, std::sin(static_cast<long double>(x))},
              std::pair{value.cos, std::cos(static_cast<long double>(x))}}) {
            if (truth == 0) continue;
            ++count;
            exact += got == static_cast<double>(truth);
            worst = std::max(worst, ulps(got, truth));
        }
    };
    for (int i = 0; i < 30000; ++i) {
        look(static_cast<double>(rng.uniform()) * 8192.0);
        look(-static_cast<double>(rng.uniform()) * 7.0);
        look(static_cast<double>(rng.next()) * 0.25);  // up to 2^30
    }
    for (int k = -4000; k <= 4000; ++k)
        look(k * 0.78539816339744830962);  // near multiples of pi/4
    for (int k = 0; k < 8192; ++k) look(k);
    MESSAGE("sin_cos: ", exact, " of ", count, " equal long double rounded to double; worst ",
            worst, " ulp");
    CHECK(worst < 1.1);
    CHECK(exact > count * 0.95);
    CHECK_THROWS_AS(sin_cos(0x1p31), Error);
    CHECK(sin_cos(0.0).sin == 0.0);
    CHECK(sin_cos(0.0).cos == 1.0);
}

TEST_CASE("rope: power is within 1 ulp of long double") {
    int exact = 0, count = 0;
    double worst = 0;
    for (double base : {2.0, 10000.0, 100000.0, 500000.0, 1e6, 0.3, 1.0})
        for (Index dim : {2, 6, 16, 64, 96, 128})
            for (Index i = 0; i < dim / 2; ++i) {
                const double e = -2.0 * static_cast<double>(i) / static_cast<double>(dim);
                const long double truth =
                    std::pow(static_cast<long double>(base), static_cast<long double>(e));
                const double got = power(base, e);
                ++count;
                exact += got == static_cast<double>(truth);
                worst = std::max(worst, ulps(got, truth));
            }
    MESSAGE("power: ", exact, " of ", count, " equal long double rounded to double; worst ",
            worst, " ulp");
    CHECK(worst < 1.0);
    CHECK(exact > count * 0.98);
    CHECK(power(10000.0, 0.0) == 1.0);
    CHECK(power(2.0, 10.0) == 1024.0);
    CHECK(power(4.0, -0.5) == 0.5);
    CHECK_THROWS_AS(power(0.0, 1.0), Error);
}

TEST_CASE("rope: golden checksums of the tables") {
    CHECK(hex64(table_checksum(RopeTable(1024, 16, 10000.0))) == "cd9446400daca63a");
    CHECK(hex64(table_checksum(RopeTable(8192, 64, 100000.0))) == "0e87710ab922851d");
}

TEST_CASE("rope: rotation takes adjacent pairs and keeps what lies behind rope_dim") {
    const RopeTable table(10, 4, 10000.0);
    std::vector<float> head = {1, 0, 0, 2, 7, 8};  // rope_dim 4 of a head of 6
    table.rotate(head.data(), 3);
    CHECK(head[0] == table.cos(3)[0]);
    CHECK(head[1] == table.sin(3)[0]);
    CHECK(head[2] == -(2 * table.sin(3)[1]));
    CHECK(head[3] == 2 * table.cos(3)[1]);
    CHECK(head[4] == 7);
    CHECK(head[5] == 8);
    CHECK(table.cos(3)[0] == static_cast<float>(std::cos(3.0)));
    CHECK(table.cos(3)[1] == static_cast<float>(std::cos(0.03)));
    std::vector<float> same = {1, 2, 3, 4};
    table.rotate(same.data(), 0);  // position 0 turns nothing
    CHECK(same == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("rope: one rotation by rule 4 with its roundings") {
    const RopeTable table(100, 2, 10000.0);
    const auto x = test::normals(2 * 100, 3);
    for (Index p = 0; p < 100; ++p) {
        float pair[] = {at(x, 2 * p), at(x, 2 * p + 1)};
        const float c = table.cos(p)[0], s = table.sin(p)[0], x0 = pair[0], x1 = pair[1];
        table.rotate(pair, p);
        const float product1 = x1 * s, product2 = x0 * s;
        CHECK(ulp_distance(pair[0], std::fma(x0, c, -product1)) == 0);
        CHECK(ulp_distance(pair[1], std::fma(x1, c, product2)) == 0);
    }
}

TEST_CASE("rope: scores depend on the distance of positions only") {
    const RopeTable table(4000, 64, 10000.0);
    const auto q = test::normals(64, 5), k = test::normals(64, 6);
    const auto score = [&](Index pq, Index pk) {
        auto a = q, b = k;
        table.rotate(a.data(), pq);
        table.rotate(b.data(), pk);
        double total = 0;
        for (std::size_t i = 0; i < 64; ++i)
            total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        return total;
    };
    for (Index shift : {1, 100, 3000})
        CHECK(std::fabs(score(17 + shift, 5 + shift) - score(17, 5)) < 1e-4);
    CHECK(std::fabs(score(17, 5) - score(16, 5)) > 1e-3);  // and they do depend on it
}

TEST_CASE("rope: doors") {
    CHECK_THROWS_AS(RopeTable(4, 3, 10000.0), Error);
    CHECK_THROWS_AS(RopeTable(4, 0, 10000.0), Error);
    CHECK_THROWS_AS(RopeTable(-1, 4, 10000.0), Error);
    CHECK_THROWS_AS(RopeTable(4, 4, 0.0), Error);
    float head[4] = {};
    CHECK_THROWS_AS(RopeTable(4, 4, 10000.0).rotate(head, 4), Error);
    CHECK_THROWS_AS(RopeTable(4, 4, 10000.0).rotate(head, -1), Error);
    CHECK_THROWS_AS(RopeTable().rotate(head, 0), Error);
}

TEST_CASE("rope: rows are made when they are used, the same by any thread and in any order") {
    const Index context = Index{1} << 24;
    const RopeTable table(context, 64, 100000.0);
    CHECK(table.positions() == context);
    CHECK(table.bytes() == 0);  // 4 GiB if they were all made
    const RopeTable copy = table;
    std::vector<std::thread> threads;
    for (int n = 0; n < 4; ++n)
        threads.emplace_back([&table, n] {
            for (Index b = 0; b < 4; ++b) table.cos((b + n) % 4 * RopeTable::kBlock + n);
        });
    for (std::thread& thread : threads) thread.join();
    const Index block_bytes = RopeTable::kBlock * 64 * Index{sizeof(float)};
    CHECK(table.bytes() == 4 * block_bytes);
    CHECK(copy.bytes() == 4 * block_bytes);  // copies share what was made
    const RopeTable fresh(4 * RopeTable::kBlock, 64, 100000.0);
    for (Index p = 4 * RopeTable::kBlock - 1; p >= 0; --p)
        for (Index i = 0; i < 32; ++i) {
            CHECK(ulp_distance(table.cos(p)[i], fresh.cos(p)[i]) == 0);
            CHECK(ulp_distance(table.sin(p)[i], fresh.sin(p)[i]) == 0);
        }
    CHECK(std::isfinite(table.cos(context - 1)[31]));
    CHECK(table.bytes() == 5 * block_bytes);
    CHECK(RopeTable(513, 4, 10000.0).bytes() == 0);
    const RopeTable rest(513, 4, 10000.0);
    CHECK(rest.sin(512)[0] == static_cast<float>(std::sin(512.0)));
    CHECK(rest.bytes() == 4 * Index{sizeof(float)});  // one position is left for its last block
    CHECK(RopeTable().bytes() == 0);
}

TEST_SUITE_END();

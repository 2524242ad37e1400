// two_exps.cpp - chapter 1: one library, two exponentials. No part of the project: compile it
// by itself, with different options, and compare what it prints.
//
//   g++ -O3 -ffast-math step01_tensor/two_exps.cpp -o /tmp/two_exps && /tmp/two_exps
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

void in_a_loop(const float* x, float* y, int n) __attribute__((noinline));

// With -ffast-math, GCC calls a function that computes several of these at once.
void in_a_loop(const float* x, float* y, int n) {
    for (int i = 0; i < n; ++i) y[i] = std::exp(x[i]);
}

int main() {
    std::vector<float> x;
    for (float next = -10.0f; next < 10.0f; next += 0x1p-13f) x.push_back(next);
    std::vector<float> y(x.size());
    in_a_loop(x.data(), y.data(), static_cast<int>(x.size()));
    int differ = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const volatile float one = x[i];
        const float alone = std::exp(one);
        differ += std::memcmp(&alone, &y[i], sizeof alone) != 0;
    }
    std::printf("%d times of %d\n", differ, static_cast<int>(x.size()));
}

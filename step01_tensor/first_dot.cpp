// first_dot.cpp - chapter 1: the first code that comes to mind for a dot product. No part of
// the project: compile it by itself, with different options, and compare what it prints.
//
//   g++ -O2 step01_tensor/first_dot.cpp -o /tmp/first_dot && /tmp/first_dot
#include <cstdio>

// As if it came from another file: a copy inside of main() may be optimised differently.
float dot(const float* a, const float* b, int n) __attribute__((noinline));

// ANCHOR: dot
float dot(const float* a, const float* b, int n) {
    float total = 0;
    for (int i = 0; i < n; ++i) total += a[i] * b[i];
    return total;
}

// ANCHOR_END: dot

int main() {
    float a[576], b[576];
    for (int i = 0; i < 576; ++i) {
        a[i] = 1.0f / static_cast<float>(i + 1);
        b[i] = 0.1f * static_cast<float>(i) - 28.0f;
    }
    std::printf("%.9g\n", static_cast<double>(dot(a, b, 576)));
}

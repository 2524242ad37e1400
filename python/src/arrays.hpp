// arrays.hpp - arrays of NumPy (or of whoever speaks DLPack: PyTorch, JAX) as the C interface
// takes them: pointers into their memory. Nothing is copied but tokens that are
// not 32-bit integers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace kvlab::python {

namespace nb = nanobind;

// Turns a status into an exception: ValueError for a wrong call, and those of raise()
// for the rest.
void must(int status);

// Somebody's float32 numbers, row-major and without gaps, in this machine's memory.
struct FloatsIn {
    // Throws TypeError, naming the argument, for what is no array of float32, and ValueError
    // for one with gaps or, unless ndim is -1, with another number of axes.
    FloatsIn(nb::handle object, const char* name, int ndim);

    int64_t dim(std::size_t axis) const { return shape[axis]; }

    // The last axis, and how many times it comes; an array without axes is one row of one.
    int64_t width() const { return shape.empty() ? 1 : shape.back(); }

    int64_t rows() const;

    nb::ndarray<nb::ro> array;  // keeps the memory alive
    std::vector<int64_t> shape;
    const float* data = nullptr;
};

// Where results go: a new NumPy array, or the caller's own.
struct FloatsOut {
    // `given` is None or an array to write to. Throws as FloatsIn, and ValueError for another
    // shape and for an array that may only be read.
    FloatsOut(nb::handle given, std::initializer_list<int64_t> shape);

    nb::object array;
    nb::ndarray<> view;  // of the caller's
    float* data = nullptr;
    int64_t size = 1;
};

// Tokens from an integer, a sequence of integers, or an array of them with one axis.
struct TokensIn {
    explicit TokensIn(nb::handle object);

    int64_t size() const { return count; }

    nb::ndarray<nb::ro> array;    // int32: not copied
    std::vector<int32_t> copied;  // anything else
    const int32_t* data = nullptr;
    int64_t count = 0;
};

// "[3, 4]"
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace kvlab::python

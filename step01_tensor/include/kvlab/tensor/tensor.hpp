// tensor.hpp - chapter 1: numbers in memory. A Tensor owns them, a View looks at them.
//
//   Tensor t({2, 3})        row-major: the last index is contiguous, the first byte 64-byte
//   aligned
//
//        t(0,0) t(0,1) t(0,2) | t(1,0) t(1,1) t(1,2)
//        ^ strides {3, 1}       ^ row 1
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <utility>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/memory.hpp>

namespace kvlab {

inline constexpr Index kMaxRank = 4;

// The extents of a tensor, at most kMaxRank of them. Throws Error for a negative extent or an
// element count that does not fit in an Index, of extents of 0 as if they were 1: for strides.
class Shape {
public:
    Shape() = default;

    Shape(std::initializer_list<Index> extents)
        : Shape(std::span<const Index>(extents.begin(), extents.size())) {}

    explicit Shape(std::span<const Index> extents) : rank_(std::ssize(extents)) {
        bool wrong = rank_ > kMaxRank, empty = false;
        for (std::size_t axis = 0; axis < extents.size() && !wrong; ++axis) {
            extents_[axis] = extents[axis];
            empty = empty || extents[axis] == 0;
            wrong = extents[axis] < 0 ||
                    __builtin_mul_overflow(size_, extents[axis] + (extents[axis] == 0), &size_);
        }
        if (wrong || size_ > kMaxSize) [[unlikely]]
            refuse(extents);
        if (empty) size_ = 0;
    }

    Index rank() const { return rank_; }

    Index operator[](Index axis) const { return at(extents_, axis); }

    Index size() const { return size_; }  // product of the extents; 1 for rank 0

    bool operator==(const Shape& other) const {  // axes beyond the rank are 0 in both
        Index different = rank_ ^ other.rank_;
        for (std::size_t axis = 0; axis < extents_.size(); ++axis)
            different |= extents_[axis] ^ other.extents_[axis];
        return different == 0;
    }

    std::string to_string() const;  // "[2, 3]"

private:
    static constexpr Index kMaxSize = std::numeric_limits<Index>::max() / 16;  // in bytes, too

    [[noreturn]] static void refuse(std::span<const Index> extents);

    Index rank_ = 0;
    Index size_ = 1;
    std::array<Index, kMaxRank> extents_{};
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.to_string();
}

template <class T>
class View;

// A strided look at somebody else's numbers: pointer, shape, strides in elements. Copying a
// View copies the look, not the numbers; a look is eleven words, so functions take it by const
// reference. View<const float> reads, View<float> writes too.
template <class T>
class View<const T> {
public:
    View() = default;

    // Row-major over contiguous memory.
    View(const T* data, Shape shape) : data_(data), shape_(shape) {
        Index stride = 1;
        for (Index axis = shape_.rank() - 1; axis >= 0; --axis) {
            at(strides_, axis) = stride;
            stride *= shape_[axis];
        }
    }

    View(const T* data, Shape shape, std::array<Index, kMaxRank> strides)
        : data_(data), shape_(shape), strides_(strides) {}

    const T* data() const { return data_; }

    const Shape& shape() const { return shape_; }

    const std::array<Index, kMaxRank>& strides() const { return strides_; }

    Index rank() const { return shape_.rank(); }

    Index dim(Index axis) const { return shape_[axis]; }

    Index stride(Index axis) const { return at(strides_, axis); }

    Index size() const { return shape_.size(); }

    // The element at the given indices, one per axis.
    template <class... Indices>
    const T& operator()(Indices... indices) const {
        KVLAB_DCHECK(static_cast<Index>(sizeof...(indices)) == rank());
        Index offset = 0, axis = 0;
        ((offset += checked(indices, axis) * at(strides_, axis), ++axis), ...);
        return data_[offset];
    }

    // View of index `i` along the first axis: one rank less.
    View<const T> operator[](Index i) const {
        check(rank() >= 1 && i >= 0 && i < dim(0), "view: index ", i, " outside of ", shape_);
        std::array<Index, kMaxRank> extents{}, strides{};
        for (Index axis = 1; axis < rank(); ++axis) {
            at(extents, axis - 1) = dim(axis);
            at(strides, axis - 1) = stride(axis);
        }
        return {data_ + i * stride(0),
                Shape(std::span<const Index>(extents.data(), usize(rank() - 1))), strides};
    }

    // View of the indices [begin, end) along `axis`: same rank.
    View<const T> slice(Index axis, Index begin, Index end) const {
        check(axis >= 0 && axis < rank(), "view: axis ", axis, " outside of ", shape_);
        check(0 <= begin && begin <= end && end <= dim(axis), "view: slice [", begin, ", ", end,
              ") of axis ", axis, " outside of ", shape_);
        std::array<Index, kMaxRank> extents{};
        for (Index a = 0; a < rank(); ++a) at(extents, a) = dim(a);
        at(extents, axis) = end - begin;
        return {data_ + begin * stride(axis),
                Shape(std::span<const Index>(extents.data(), usize(rank()))), strides_};
    }

    // Axes a and b exchanged: a transposed look, nothing moves.
    View<const T> transposed(Index a, Index b) const {
        check(a >= 0 && a < rank() && b >= 0 && b < rank(), "view: axes ", a, ", ", b,
              " outside of ", shape_);
        std::array<Index, kMaxRank> extents{}, strides = strides_;
        for (Index axis = 0; axis < rank(); ++axis) at(extents, axis) = dim(axis);
        std::swap(at(extents, a), at(extents, b));
        std::swap(at(strides, a), at(strides, b));
        return {data_, Shape(std::span<const Index>(extents.data(), usize(rank()))), strides};
    }

    // True if the elements lie row-major without gaps.
    bool contiguous() const {
        Index expected = 1;
        for (Index axis = rank() - 1; axis >= 0; --axis) {
            if (dim(axis) != 1 && stride(axis) != expected) return false;
            expected *= dim(axis);
        }
        return true;
    }

    // The elements as a span. Throws Error unless contiguous().
    std::span<const T> flat() const {
        check(contiguous(), "view: flat() of a strided view ", shape_);
        return {data_, usize(size())};
    }

private:
    Index checked(Index i, [[maybe_unused]] Index axis) const {
        KVLAB_DCHECK(i >= 0 && i < dim(axis));
        return i;
    }

    const T* data_ = nullptr;
    Shape shape_;
    std::array<Index, kMaxRank> strides_{};
};

// A look that may write. It IS one that reads, so it goes wherever that is asked for without
// being copied; the numbers were not const when it was made, so const is cast away
// only in name.
template <class T>
class View : public View<const T> {
    using Reads = View<const T>;

    explicit View(const Reads& same) : Reads(same) {}

public:
    View() = default;

    View(T* data, Shape shape) : Reads(data, shape) {}

    View(T* data, Shape shape, std::array<Index, kMaxRank> strides)
        : Reads(data, shape, strides) {}

    T* data() const { return const_cast<T*>(Reads::data()); }

    template <class... Indices>
    T& operator()(Indices... indices) const {
        return const_cast<T&>(Reads::operator()(indices...));
    }

    View operator[](Index i) const { return View(Reads::operator[](i)); }

    View slice(Index axis, Index begin, Index end) const {
        return View(Reads::slice(axis, begin, end));
    }

    View transposed(Index a, Index b) const { return View(Reads::transposed(a, b)); }

    std::span<T> flat() const { return {data(), Reads::flat().size()}; }
};

// Owns a 64-byte aligned, row-major block of float32, zeroed at construction. Moves, and copies
// only when asked to by clone(): a silent copy of a cache is a bug that nobody sees.
class Tensor {
public:
    Tensor() = default;
    explicit Tensor(Shape shape);  // throws Error if this machine has no room for it

    Tensor(Tensor&& other) noexcept { *this = std::move(other); }  // other is empty

    Tensor& operator=(Tensor&& other) noexcept {
        shape_ = std::exchange(other.shape_, Shape());
        data_ = std::move(other.data_);
        return *this;
    }

    Tensor clone() const;

    const Shape& shape() const { return shape_; }

    Index rank() const { return shape_.rank(); }

    Index dim(Index axis) const { return shape_[axis]; }

    Index size() const { return data_ ? shape_.size() : 0; }

    float* data() { return reinterpret_cast<float*>(data_.data()); }

    const float* data() const { return reinterpret_cast<const float*>(data_.data()); }

    std::span<float> flat() { return {data(), usize(size())}; }

    std::span<const float> flat() const { return {data(), usize(size())}; }

    View<float> view() { return {data(), shape_}; }

    View<const float> view() const { return {data(), shape_}; }

    template <class... Indices>
    float& operator()(Indices... indices) {
        return view()(indices...);
    }

    template <class... Indices>
    const float& operator()(Indices... indices) const {
        return view()(indices...);
    }

private:
    Shape shape_;
    Memory data_;
};

// Throws Error "<what>: expected [..], found [..]" unless the view has exactly this shape.
[[noreturn]] void refuse_shape(const Shape& found, const Shape& expected, const char* what);

template <class T>
void check_shape(const View<T>& view, const Shape& expected, const char* what) {
    if (!(view.shape() == expected)) [[unlikely]]
        refuse_shape(view.shape(), expected, what);
}

// The same for extents written on the spot, which need not become a Shape to be compared.
template <class T>
void check_shape(const View<T>& view, std::initializer_list<Index> expected, const char* what) {
    bool same = view.rank() == std::ssize(expected);
    for (Index axis = 0; const Index extent : expected)
        same = same && view.dim(axis++) == extent;
    if (!same) [[unlikely]]
        refuse_shape(view.shape(), expected, what);
}

}  // namespace kvlab

#include "arrays.hpp"

#include <limits>
#include <memory>

#include <nanobind/stl/string.h>

namespace kvlab::python {

namespace {

std::string type_of(nb::handle object) {
    if (nb::hasattr(object, "dtype"))
        return "one of " + nb::cast<std::string>(object.attr("dtype").attr("__str__")());
    return nb::type_name(object.type()).c_str();
}

[[noreturn]] void refuse_type(const std::string& name,
                              const char* expected,
                              nb::handle object) {
    throw nb::type_error(
        (name + ": expected " + expected + ", found " + type_of(object)).c_str());
}

[[noreturn]] void refuse_value(const std::string& text) {
    throw nb::value_error(text.c_str());
}

template <class Array>
std::vector<int64_t> shape_of(const Array& array) {
    std::vector<int64_t> shape;
    for (std::size_t axis = 0; axis < array.ndim(); ++axis)
        shape.push_back(static_cast<int64_t>(array.shape(axis)));
    return shape;
}

template <class Array>
bool contiguous(const Array& array) {
    for (std::size_t axis = 0; axis < array.ndim(); ++axis)
        if (array.shape(axis) == 0)
            return true;  // there is nothing between which a gap could lie
    int64_t expected = 1;
    for (std::size_t axis = array.ndim(); axis-- > 0;) {
        if (array.shape(axis) != 1 && array.stride(axis) != expected) return false;
        expected *= static_cast<int64_t>(array.shape(axis));
    }
    return true;
}

constexpr const char* kFloats = "an array of float32";

// The array as it lies, of any type that this machine can read.
template <class Array>
Array borrowed(nb::handle object, const std::string& name, const char* expected) {
    Array array;
    if (!nb::ndarray_check(object) || !nb::try_cast(object, array, false))
        refuse_type(name, expected, object);
    if (array.device_type() != nb::device::cpu::value)
        refuse_value(name +
                     ": expected an array in the machine's memory, found one of a device");
    return array;
}

template <class Array>
void check_floats(const Array& array, const std::string& name, nb::handle object) {
    if (array.dtype() != nb::dtype<float>()) refuse_type(name, kFloats, object);
    if (!contiguous(array))
        refuse_value(name +
                     ": expected an array without gaps, row by row "
                     "(numpy.ascontiguousarray makes one), found one with strides");
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string text = "[";
    for (const int64_t extent : shape)
        text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
}

FloatsIn::FloatsIn(nb::handle object, const char* name, int ndim)
    : array(borrowed<nb::ndarray<nb::ro>>(object, name, kFloats)), shape(shape_of(array)) {
    check_floats(array, name, object);
    if (ndim >= 0 && array.ndim() != static_cast<std::size_t>(ndim))
        refuse_value(std::string(name) + ": expected " + std::to_string(ndim) +
                     " axes, found the shape " + shape_text(shape));
    data = static_cast<const float*>(array.data());
}

int64_t FloatsIn::rows() const {
    int64_t rows = 1;
    for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) rows *= shape[axis];
    return rows;
}

FloatsOut::FloatsOut(nb::handle given, std::initializer_list<int64_t> shape) {
    const std::vector<std::size_t> extents(shape.begin(), shape.end());
    for (const int64_t extent : shape) size *= extent;
    if (given.is_none()) {
        auto memory = std::make_unique<float[]>(static_cast<std::size_t>(size));
        data = memory.get();
        const nb::capsule owner(memory.release(),
                                [](void* p) noexcept { delete[] static_cast<float*>(p); });
        array = nb::cast(
            nb::ndarray<nb::numpy, float>(data, extents.size(), extents.data(), owner));
        return;
    }
    // Asked for as one that is read, since an array that must not be written says so only here.
    const FloatsIn read(given, "out", -1);
    if (read.shape != std::vector<int64_t>(shape))
        refuse_value("out: expected the shape " + shape_text(shape) + ", found " +
                     shape_text(read.shape));
    if (!nb::try_cast(given, view, false))
        refuse_value("out: expected an array to write to, found one that may only be read");
    array = nb::borrow(given);
    data = static_cast<float*>(view.data());
}

TokensIn::TokensIn(nb::handle object) {
    const auto add = [&](int64_t token) {
        if (token < std::numeric_limits<int32_t>::min() ||
            token > std::numeric_limits<int32_t>::max())
            refuse_value("token " + std::to_string(copied.size()) + ": " +
                         std::to_string(token) + " does not fit in 32 bits");
        copied.push_back(static_cast<int32_t>(token));
    };
    int64_t one = 0;
    if (nb::ndarray_check(object)) {
        array = borrowed<nb::ndarray<nb::ro>>(object, "tokens", "integers");
        const bool narrow = array.dtype() == nb::dtype<int32_t>(),
                   wide = array.dtype() == nb::dtype<int64_t>();
        if (!narrow && !wide) refuse_type("tokens", "integers of 32 or 64 bits", object);
        if (array.ndim() > 1)
            refuse_value("tokens: expected one axis, found the shape " +
                         shape_text(shape_of(array)));
        count = array.ndim() == 0 ? 1 : static_cast<int64_t>(array.shape(0));
        if (narrow && contiguous(array)) {
            data = static_cast<const int32_t*>(array.data());
            return;
        }
        const int64_t stride = array.ndim() == 0 ? 1 : array.stride(0);
        for (int64_t i = 0; i < count; ++i)
            add(narrow ? static_cast<const int32_t*>(array.data())[i * stride]
                       : static_cast<const int64_t*>(array.data())[i * stride]);
    } else if (nb::try_cast(object, one, false)) {
        add(one);
    } else {
        if (!nb::hasattr(object, "__iter__") || nb::isinstance<nb::str>(object))
            refuse_type("tokens", "integers", object);
        for (const nb::handle item : object) {
            if (!nb::try_cast(item, one, false)) refuse_type("tokens", "integers", item);
            add(one);
        }
    }
    data = copied.data();
    count = static_cast<int64_t>(copied.size());
}

}  // namespace kvlab::python

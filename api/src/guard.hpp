// guard.hpp - the border of the C interface: no exception crosses it, and every refusal becomes
// a status and a line.
#pragma once

#include <cstring>
#include <string>

#include <kvlab/kvlab.h>
#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/sizes.hpp>

namespace kvlab::api {

// A refusal with a status of its own. Any other Error is KVLAB_FAILED.
class Refusal : public Error {
public:
    Refusal(kvlab_status why, const std::string& text) : Error(text), status(why) {}

    kvlab_status status;
};

// As check(), for what the caller got wrong.
template <class... Parts>
void require(bool ok, const Parts&... parts) {
    if (!ok) throw Refusal(KVLAB_BAD_ARGUMENT, concat(parts...));
}

template <class... Parts>
void require_room(bool ok, const Parts&... parts) {
    if (!ok) throw Refusal(KVLAB_NO_ROOM, concat(parts...));
}

// Throws unless there is something to write to or to read from.
inline void require_pointer(const void* pointer, const char* name) {
    require(pointer != nullptr, name, ": expected a pointer, found null");
}

// An array of the product of `extents` floats, tokens or positions: no pointer is
// needed for none.
inline Index require_array(const void* pointer,
                           const char* name,
                           std::initializer_list<Index> extents) {
    for (const Index extent : extents)
        require(extent >= 0, name, ": a size must not be negative, found ", extent);
    const Index count = checked_product(name, extents);
    require(count <= kMostBytes / 8, name, ": ", count, " elements are more than can be");
    if (count > 0) require_pointer(pointer, name);
    return count;
}

// Calls work(); what it throws becomes a status, and the line of kvlab_last_error() begins with
// the name of the function.
int note_current_exception(const char* call) noexcept;

template <class Work>
int guarded(const char* call, Work&& work) noexcept {
    try {
        work();
        return KVLAB_OK;
    } catch (...) {
        return note_current_exception(call);
    }
}

// The same, and an Error that says nothing of its status means this one.
template <class Work>
void as(kvlab_status status, Work&& work) {
    try {
        work();
    } catch (const Refusal&) {
        throw;
    } catch (const Error& error) {
        throw Refusal(status, error.what());
    }
}

// As much of a text as fits, zeros after it.
template <std::size_t N>
void copy_text(const std::string& text, char (&to)[N]) {
    std::memset(to, 0, N);
    text.copy(to, N - 1);
}

}  // namespace kvlab::api

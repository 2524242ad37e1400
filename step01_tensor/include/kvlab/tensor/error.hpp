// error.hpp - chapter 1: one exception type, one way to check, one way to mark an open task.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// Thrown for everything that a caller or a file can get wrong. The message is one line that
// names what was checked, what was expected and what was found.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Thrown by todo(): a task of a chapter that has not been solved yet.
class NotImplemented : public Error {
public:
    using Error::Error;
};

// Joins its arguments as `operator<<` would print them.
template <class... Parts>
std::string concat(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return text.str();
}

// Throws Error(concat(parts...)) unless `ok`. Always on: it guards the doors of the public API.
// The parts are printed only when it throws, so pass a Shape as it is: its to_string() would
// allocate on every call.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
    if (!ok) [[unlikely]]
        throw Error(concat(parts...));
}

// Marks the place of an exercise: todo("3.2") never returns.
[[noreturn]] inline void todo(const char* task) {
    throw NotImplemented(
        concat("task ", task, " is not solved yet; see the chapter's README.md"));
}

}  // namespace kvlab

// A check for inner loops: active in debug builds only.
#ifdef NDEBUG
#define KVLAB_DCHECK(condition) static_cast<void>(0)
#else
#define KVLAB_DCHECK(condition) \
    ::kvlab::check((condition), "internal check failed: " #condition)
#endif

// golden.hpp - the checksums of tests/data/golden.txt, which every build and engine
// must agree with.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>

namespace kvlab::test {

// "name checksum" per line.
inline const std::map<std::string, std::string>& golden() {
    static const std::map<std::string, std::string> values = [] {
        std::map<std::string, std::string> read;
        std::ifstream file(std::string(KVLAB_TEST_DATA) + "/golden.txt");
        std::string name, value;
        while (file >> name >> value) read[name] = value;
        return read;
    }();
    return values;
}

inline void check_golden(const std::string& name, const std::string& found) {
    CAPTURE(name);
    CAPTURE(found);
    CHECK(golden().count(name) == 1);
    if (golden().count(name) == 0) return;
    CHECK(golden().at(name) == found);
}

}  // namespace kvlab::test

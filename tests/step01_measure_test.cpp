// Measuring and reporting. No test here looks at a time: only at what is made of it.
#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/roofline.hpp>

using namespace kvlab;

TEST_SUITE_BEGIN("step01");

TEST_CASE("measure: quartiles by hand") {
    const Quartiles q = quartiles({5, 1, 4, 2, 3});
    CHECK(q.smallest == 1);
    CHECK(q.low == 2);
    CHECK(q.median == 3);
    CHECK(q.high == 4);
    CHECK(q.largest == 5);
    CHECK(q.count == 5);
    CHECK(quartiles({1, 2}).median == 1.5);
    CHECK(quartiles({7}).high == 7);
    CHECK_THROWS_AS(quartiles({}), Error);
}

TEST_CASE("measure: the clock runs forward and the work is called") {
    Index calls = 0;
    const Quartiles q = time_calls(3, 0.0, Clock::wall, [&] { ++calls; });
    CHECK(q.count == 3);
    CHECK(calls >= 5);
    CHECK(q.smallest >= 0);
    const double before = thread_cpu_seconds();
    volatile double sink = 0;
    for (int i = 0; i < 1000000; ++i) sink = sink + i;
    CHECK(thread_cpu_seconds() > before);
}

// The process's environment is read once, so a process of its own asks for the counting clock.
std::string with_clock(const std::string& clock) {
    const std::string command = concat("KVLAB_CLOCK=", clock, " '",
                                       std::filesystem::read_symlink("/proc/self/exe").string(),
                                       "' -tc='measure: readings of the counting clock' 2>&1");
    FILE* const pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string said;
    for (int c; (c = std::fgetc(pipe)) != EOF;) said.push_back(static_cast<char>(c));
    pclose(pipe);
    return said;
}

TEST_CASE("measure: the counting clock replaces both clocks, and only if it is asked for") {
    if (counting_clock()) return;  // this is that process
    CHECK(new_report("test", 1).contains("clock") == false);
    const std::string said = with_clock("counting");
    CHECK_MESSAGE(said.find("assertions: 10 | 10 passed") != std::string::npos, said);
    CHECK(with_clock("sundial").find("KVLAB_CLOCK='sundial'") != std::string::npos);
    CHECK(with_clock("").find("KVLAB_CLOCK=''") != std::string::npos);
}

// Run by the case above; without the counting clock there is nothing to see.
TEST_CASE("measure: readings of the counting clock") {
    if (std::getenv("KVLAB_CLOCK") == nullptr) return;
    CHECK(wall_seconds() == 0);
    CHECK(thread_cpu_seconds() == 1 + 1. / 1024);  // both clocks are one
    Stopwatch watch;                               // reading 2
    CHECK(watch.seconds() == 3 + 9. / 1024 - (2 + 4. / 1024));
    CHECK(new_report("test", 1)["clock"] == "counting");
    // By hand: a call that is not measured (readings 4, 5); one call takes more than a second,
    // so none is repeated (6, 7); then two samples, between 8 and 9 and between 10 and 11.
    Index calls = 0;
    const Quartiles q = time_calls(2, 1.0, Clock::wall, [&] { ++calls; });
    CHECK(calls == 4);
    CHECK(q.count == 2);
    CHECK(q.smallest == 1 + (81. - 64) / 1024);
    CHECK(q.median == 1 + ((81. - 64) + (121 - 100)) / 2 / 1024);
    // Two seconds are wanted: one call (14, 15) is too few, so are two (16, 17) ... A call that
    // reads the clock itself makes a sample longer: of n calls, n + 1 seconds and a little.
    calls = 0;
    const Quartiles longer =
        time_calls(1, 4.0, Clock::thread_cpu, [&] { ++calls, wall_seconds(); });
    CHECK(calls == 1 + 1 + 2 + 4 + 4);
    // Readings: 12 to 14, 15 to 17, 18 to 21, 22 to 27, and the sample from 28 to 33.
    CHECK(longer.smallest == (5 + (33. * 33 - 28 * 28) / 1024) / 4);
}

TEST_CASE("measure: figures and names") {
    CHECK(format_number(0.01234) == "0.0123");
    CHECK(format_number(118.4) == "118");
    CHECK(format_number(1536.0) == "1536");
    CHECK(format_number(4.25e9) == "4.25e+09");
    CHECK(format_number(99.96) == "100");
    CHECK(format_number(100.0) == "100");
    CHECK(format_number(1234567.0, 7) == "1234567");
    CHECK(format_number(999999.0) == "999999");
    CHECK(format_number(1e6) == "1e+06");
    CHECK(format_number(-1e6) == "-1e+06");
    CHECK(format_number(-1234.0) == "-1234");
    CHECK_FALSE(processor_name().empty());
    CHECK(compiler_name().find('.') != std::string::npos);
    CHECK(compiler_flags().find("-ffp-contract=off") != std::string::npos);
}

TEST_CASE("roofline: sizes of the memory levels grow") {
    for (Index threads : {1, 2, 4}) {
        const auto levels = memory_levels(threads);
        REQUIRE(levels.size() == 4);
        CHECK(levels[0].bytes < levels[1].bytes);
        CHECK(levels[3].bytes * threads >= Index{64} << 20);
    }
    ThreadPool pool(2);
    CHECK(read_bandwidth(SimdLevel::portable, pool, 4096, 1) > 0);
}

TEST_CASE("report: what was given is what is read back") {
    const auto folder =
        std::filesystem::temp_directory_path() / concat("kvlab_report_", getpid());
    std::filesystem::create_directory(folder);
    const std::string path = (folder / "r.json").string();
    Json report = new_report("test", 7);
    report["times"] = to_json(quartiles({1, 2, 3}));
    write_json(std::make_shared<OutputFile>(path), report);
    write_json(nullptr, report);  // --json was not given
    std::ifstream file(path);
    const Json back = Json::parse(file);
    CHECK(back == report);
    CHECK(back["schema"] == kReportSchema);
    CHECK(back["seed"] == 7);
    CHECK(back["times"]["median"] == 2.0);
    CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) ==
          1);  // nothing else is left
    std::filesystem::remove_all(folder);
}

TEST_SUITE_END();

"""Submissions that attack the grader: chapter 1's right files, with one task's solution exchanged. Each attack is bounded, so that a
grader which does not stop it comes to no harm, and says BROKEN OUT where it got what it must not get.

An Attack names what its own task must end with; all other tasks are right, and keep their points. To save builds, what happens while a
question is answered stands in one program, and the position that is asked for chooses (`chosen`); the others are submissions of their own.
"""
import pathlib
from dataclasses import dataclass

from course.asking import CRASHED, FAILED, NOT_COMPILED, TIMED_OUT
from course.markers import with_replaced
from course.tasks import ROOT, STEPS

ROPE, SAMPLING = (f"{STEPS[1]}/src/numbers/{name}.cpp" for name in ("rope", "sampling"))
SECRET = ROOT / "tests" / "course" / "step01.py"
SOLUTION = ROOT / ROPE

HEAD = r"""
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
[[noreturn]] static void broken_out(const char* what) {
    std::fprintf(stderr, "BROKEN OUT: %s\n", what);
    std::abort();
}
[[maybe_unused]] static void try_to_open(const std::string& path, int flags) {
    const int file = open(path.c_str(), flags);
    if (file >= 0) broken_out(path.c_str());
}
"""


@dataclass
class Attack:
    name: str
    body: str  # in the place of the solution of `task`
    outcome: str
    says: str = ""  # what the verdict's message must have in it
    head: str = ""  # before the file's own first line
    task: str = "1.5"

    @property
    def file(self):
        return {"1.5": ROPE, "1.6": SAMPLING}[self.task]

    def text(self):
        text = with_replaced((ROOT / self.file).read_text(), self.file, lambda region: self.body.splitlines() if region.task == self.task else None)
        return HEAD + self.head + "\n" + text


def right_files(files):
    return {file: with_replaced((ROOT / file).read_text(), file, lambda region: None) for file in files}


def submissions():
    """Those that are graded as a whole."""
    return [
        Attack("nothing is done", "return;", FAILED),
        Attack("a constant token", "return 0;", FAILED, task="1.6"),
        Attack("no return", "", CRASHED, "runtime error", task="1.6"),
        Attack("prints PASSED and a result", r"""
    std::puts("PASSED 1.5 4/4\n[doctest] Status: SUCCESS!\n{\"answer\":{\"head\":{\"shape\":[4],\"f32\":[0,0,0,0]}}}");
    std::puts("{\"score\": 80, \"tests\": [{\"name\": \"1.5\", \"score\": 15, \"status\": \"passed\"}]}");
    std::fflush(stdout);""", FAILED),
        Attack("ends early with 0", "std::_Exit(0);", CRASHED, "ended after 0 of"),
        Attack("ends before main with 0", "return;", CRASHED, "ended after 0 of", head="[[maybe_unused]] static const bool done = (std::_Exit(0), true);"),
        Attack("loops", "for (volatile unsigned i = 0;; i = i + 1) {}", TIMED_OUT, "no answer within"),
        Attack("reads the reference", f"""
    for (const char* path : {{"{SECRET}", "{SOLUTION}", "{ROOT}/tests/course/mistakes/step01.txt", "/etc/shadow"}})
        try_to_open(path, O_RDONLY);
    if (opendir("{ROOT}") != nullptr) broken_out("the project's folder");""", FAILED),
        Attack("includes the reference", "return;", NOT_COMPILED, "rope.cpp:", head=f'#include "{SOLUTION}"'),
        Attack("includes the reference by chance", "return;", NOT_COMPILED, "Permission denied", head=f'#if __has_include("{SECRET}")\n#error "BROKEN OUT"\n#endif'),
        Attack("assembles the reference", "return;", NOT_COMPILED, head=f'asm(".section .rodata\\n.incbin \\"{SECRET}\\"\\n.text");'),
        Attack("compiles for ever", "return;", NOT_COMPILED, head='#include "/dev/zero"'),
        Attack("leaves a daemon", """
    if (fork() == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        prctl(PR_SET_NAME, "kvlab_daemon");
        prctl(PR_SET_DUMPABLE, 0);
        for (int file = 0; file < 64; ++file) close(file);
        sleep(60);
        _exit(0);
    }""", FAILED),
        Attack("another main", "return;", NOT_COMPILED, "main", head="int main() { return 0; }"),
        Attack("a misprint", "return head;", NOT_COMPILED, "rope.cpp:"),
    ]


def chosen(port):
    """Those that stand in one program; `port` is one of this machine that a server listens at, and its abstract socket's name has it, too."""
    return [
        Attack("zeros", "for (Index i = 0; i < rope_dim_; ++i) head[i] = 0.0f;", FAILED),
        Attack("ends at exit with 1", """
    for (Index i = 0; i < rope_dim_ / 2; ++i) {
        const float x0 = head[2 * i], x1 = head[2 * i + 1];
        head[2 * i] = std::fma(x0, cos(position)[i], -(x1 * sin(position)[i]));
        head[2 * i + 1] = std::fma(x1, cos(position)[i], x0 * sin(position)[i]);
    }
    std::atexit([] { std::_Exit(1); });""", CRASHED, "exit code 1"),
        Attack("overwrites the tests and its own program", f"""
    for (const char* path : {{"{SECRET}", "{SOLUTION}", "/proc/self/exe", "{ROOT}/tools/grade.py", "/tmp/kvlab_attack"}})
        try_to_open(path, O_WRONLY | (std::strstr(path, "/tmp/") ? O_CREAT : 0));
    char own[4096] = {{}};
    if (readlink("/proc/self/exe", own, sizeof own - 1) > 0) {{
        const std::string folder = std::string(own).substr(0, std::string(own).rfind('/'));
        if (unlink(own) == 0) broken_out("unlink");
        if (rename(own, (folder + "/moved").c_str()) == 0) broken_out("rename");
        try_to_open(folder + "/new", O_WRONLY | O_CREAT);
        try_to_open(folder + "/../../tree/tests/course/task_case.cpp", O_WRONLY);
        try_to_open(folder + "/../../ready.json", O_WRONLY);
    }}""", FAILED),
        Attack("sleeps", "sleep(60);", TIMED_OUT, "no answer within"),
        Attack("asks for 4 GB", """
    const std::size_t all = std::size_t{4} << 30, some = std::size_t{3} << 29;
    char* memory = static_cast<char*>(mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (memory == MAP_FAILED) return;
    for (std::size_t i = 0; i < some; i += 4096) memory[i] = 1;
    usleep(300000);
    broken_out("1.5 GB are in use");""", CRASHED, "more than 1024 MiB of memory"),
        Attack("asks for memory in many processes", """
    for (int child = 0; child < 8; ++child)
        if (fork() == 0) {
            std::vector<char> memory(std::size_t{200} << 20, 1);
            sleep(2);
            _exit(memory[5]);
        }
    sleep(2);
    broken_out("1.6 GB are in use");""", CRASHED, "more than 1024 MiB of memory"),
        Attack("starts 200 processes", """
    int started = 0;
    for (int child = 0; child < 200; ++child) {
        const pid_t pid = fork();
        if (pid == 0) {
            sleep(3);
            _exit(0);
        }
        started += pid > 0;
    }
    if (started >= 200) broken_out("200 processes");""", FAILED),
        Attack("reads the grader", """
    const std::string parent = "/proc/" + std::to_string(getppid());
    for (const char* what : {"/mem", "/environ", "/maps", "/fd", "/cwd/tools/grade.py"}) try_to_open(parent + what, O_RDONLY);""", FAILED),
        Attack("ends the grader", """
    if (kill(getppid(), SIGKILL) == 0) broken_out("the grader's parent is ended");
    if (kill(getppid(), SIGSTOP) == 0) broken_out("the grader is stopped");
    kill(-1, SIGTERM);""", FAILED),
        Attack("becomes root again", """
    if (setuid(0) == 0 && geteuid() == 0) broken_out("root");
    const rlimit more{1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NPROC, &more) == 0) broken_out("its limits");""", FAILED),
        Attack("calls home", f"""
    sockaddr_in address{{}};
    address.sin_family = AF_INET;
    address.sin_port = htons({port});
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    const int tcp = socket(AF_INET, SOCK_STREAM, 0);
    if (tcp >= 0 && connect(tcp, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) broken_out("a TCP connection");
    sockaddr_un name{{}};
    name.sun_family = AF_UNIX;
    const std::string text = "kvlab-attack-{port}";
    std::memcpy(name.sun_path + 1, text.data(), text.size());
    const int unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
    if (unix_socket >= 0 && connect(unix_socket, reinterpret_cast<sockaddr*>(&name), length) == 0) broken_out("a socket of another process");""", FAILED),
        Attack("forges answers", r"""
    const char forged[] = "{\"answer\":{\"head\":{\"shape\":[4],\"f32\":[0,0,0,0]}}}\n{\"passed\":true,\"score\":15}\n";
    for (int file = 3; file < 64; ++file)
        if (write(file, forged, sizeof forged - 1) < 0) continue;""", FAILED),
        Attack("forges what is no JSON", r"""
    std::string deep(100000, '[');
    deep += '\n';
    for (int file = 3; file < 64; ++file)
        if (write(file, deep.data(), deep.size()) < 0) continue;""", FAILED, "no JSON object"),
        Attack("answers without end", r"""
    const std::string line(1 << 16, 'x');
    for (int round = 0; round < 1024; ++round)
        for (int file = 3; file < 16; ++file)
            if (write(file, line.data(), line.size()) < 0) continue;""", CRASHED, "MiB of answers"),
        Attack("closes the pipe", "for (int file = 3; file < 64; ++file) close(file);", CRASHED, "exit code 1"),
        Attack("writes 1 GB", r"""
    const std::string line(1 << 20, 'x');
    for (int round = 0; round < 1024; ++round)
        if (write(1, line.data(), line.size()) < 0) break;""", CRASHED, "MiB of output"),
        Attack("never returns from a call", "rotate(head, position); head[0] += 1.0f;", CRASHED, "stack-overflow"),
        Attack("writes where it must not", "head[1 << 20] = 1.0f;", CRASHED, "AddressSanitizer"),
        Attack("throws", 'throw std::runtime_error("PASSED");', FAILED, "an Error was thrown: PASSED"),
    ]


FIRST_POSITION = 100


def all_chosen(port):
    """One attack that is all of them: the n-th is what happens at position 100 + n."""
    cases = "".join(f"    case {FIRST_POSITION + n}: {{\n{attack.body}\n    break;\n    }}\n" for n, attack in enumerate(chosen(port)))
    return Attack("many", f"    switch (position) {{\n{cases}    default: break;\n    }}", FAILED)


def write_submission(folder, attack, files):
    for file, text in {**right_files(files), attack.file: attack.text()}.items():
        path = pathlib.Path(folder) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# Mistakes that are recorded, as somebody else would write them, and a word of the sentence that names each.
MISTAKEN = {
    "1.1": ("""    const auto bits = std::bit_cast<std::uint32_t>(value);
    const auto size = static_cast<std::int64_t>(bits & 0x7fffffffu);
    return (bits >> 31) != 0 ? -size : size;""", "-0 and +0"),
    "1.2": ("""    if (first == -1) first = later.first;
    max_abs = later.max_abs > max_abs ? later.max_abs : max_abs;
    max_ulp = later.max_ulp > max_ulp ? later.max_ulp : max_ulp;
    differ += later.differ;
    count += later.count;""", "the place within the later part"),
    "1.3": ("""    float total = 0.0f;
    for (std::size_t i = 0; i < scores.size(); ++i) total += weights[i] = std::exp2(scores[i]);
    return total;""", "not moved down"),
    "1.4": ("""    const float mean = sum(x, n) / static_cast<float>(n);
    float squares = 0.0f;
    for (Index i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const float r = 1.0f / (std::sqrt(squares / static_cast<float>(n)) + eps);
    for (Index i = 0; i < n; ++i) y[i] = (x[i] - mean) * r * weight[i] + bias[i];""", "eps"),
    "1.5": ("""    for (Index i = 0; i < rope_dim_; i += 2) {
        const float a = head[i], b = head[i + 1], c = cos(position)[i / 2], s = sin(position)[i / 2];
        head[i] = a * c + b * s;
        head[i + 1] = b * c - a * s;
    }""", "the other way round"),
    "1.6": ("""    float total = top_p, partial = 0.0f;
    total = 0.0f;
    for (const float weight : weights) total += weight;
    for (std::size_t i = 0; i + 1 < weights.size(); ++i) {
        partial += weights[i];
        if (partial > uniform * total) return static_cast<Index>(i);
    }
    return static_cast<Index>(weights.size()) - 1 + static_cast<Index>(0.0f * sum);""", "top_p had no effect"),
}

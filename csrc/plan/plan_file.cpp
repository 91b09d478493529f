// SPDX-License-Identifier: BSD-3-Clause
#include "plan_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <vector>

#include "../problem/names.h"
#include "../problem/text_words.h"
#include "plan.h"

namespace cnnkern {

namespace {

std::string text_of(const std::string& path) {
  errno = 0;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  std::string text;
  bool read = file != nullptr;
  if (read) {
    char block[4096];
    for (size_t count; (count = std::fread(block, 1, sizeof block, file.get())) > 0;) {
      text.append(block, count);
    }
    read = std::ferror(file.get()) == 0;
  }
  if (read) return text;
  throw Error("plan file '" + path + "' cannot be read: " + std::generic_category().message(errno));
}

std::string key_of(const ConvProblem& g, Direction direction) {
  ConvProblem inner = g;
  inner.transposed = inner.bias = inner.relu = false;
  return to_text(inner) + " -> " + name_of(kernel_direction(g, direction));
}

std::string key_of(const PoolProblem& g, Direction direction) {
  return to_text(g) + " -> " + name_of(direction);
}

std::string key_on(const std::string& device, const Problem& problem, Direction direction) {
  return plain_name(device) + ": " + plan_key(problem, direction);
}

std::vector<std::string> directions_of(const Problem& problem) {
  if (std::holds_alternative<PoolProblem>(problem)) return {"forward", "input_grad"};
  return {kDirections.begin(), kDirections.end()};
}

std::vector<std::string> algorithms_of(const Problem& problem) {
  if (std::holds_alternative<PoolProblem>(problem)) return {"direct"};
  return {kAlgorithms.begin(), kAlgorithms.end()};
}

void check_word(const Line& line, const char* what, const Word& word,
                const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (word.text == name) return;
  }
  line.fail(word.column, std::string("expected ") + what + ", got '" + word.text + "'" +
                             suggestion(word.text, names));
}

// Why the algorithm does not serve; nothing where it does, or where no such device is known.
std::string refusal_of(const Problem& problem, Direction direction, const std::string& algorithm,
                       const std::string& device) {
  const auto* g = std::get_if<ConvProblem>(&problem);
  const auto kind = kind_of_device(device);
  if (!g || !kind) return "";
  return refusal(*g, direction, *value_of<Algorithm>(kAlgorithms, algorithm), *kind);
}

// Words of a line, and none beyond what an entry can hold.
void check_characters(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte >= ' ' && byte < 0x7F) || byte == '\t') continue;
    char shown[8];
    std::snprintf(shown, sizeof shown, "0x%02X", byte);
    throw Error(std::string("expected ASCII outside of comments, got the byte ") + shown +
                " in column " + std::to_string(i + 1));
  }
}

// Without its comment and the spaces at its end.
std::string content_of(const std::string& line) {
  const std::string text = line.substr(0, line.find('#'));
  const size_t last = text.find_last_not_of(" \t\r");
  return last == std::string::npos ? "" : text.substr(0, last + 1);
}

}  // namespace

std::string plan_key(const Problem& problem, Direction direction) {
  return std::visit([&](const auto& g) { return key_of(g, direction); }, problem);
}

PlanFile::PlanFile(const std::string& name, const std::string& text) : name_(name) {
  const std::string mark = "\xEF\xBB\xBF";  // what some editors begin a text with
  int64_t number = 1;
  for (size_t begin = text.compare(0, mark.size(), mark) == 0 ? mark.size() : 0;
       begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string content = content_of(text.substr(begin, end - begin));
    try {
      check_characters(content);
      if (!content.empty()) read_line(content, number);
    } catch (const Error& error) {
      throw Error(name + ":" + std::to_string(number) + ": " + error.what());
    }
    begin = end + 1;
  }
}

PlanFile PlanFile::read(const std::string& path) { return {path, text_of(path)}; }

void PlanFile::read_line(const std::string& text, int64_t number) {
  const Line line(text);
  const std::vector<Word> words = line.words();
  if (words[0].text == "device") {
    if (words.size() < 2) line.fail(line.size(), "expected the name of a device");
    device_ = text.substr(words[1].column);
    // No machine's own name: such a section would never be used.
    if (plain_name(device_) == "cpu" || plain_name(device_) == "cuda") {
      line.fail(words[1].column,
                "expected an instruction set (baseline, avx2, avx512, avx512_bf16) or a GPU's name "
                "such as H200, got '" +
                    device_ + "'");
    }
    devices_[device_];
    return;
  }
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos) {
    line.fail(line.size(), "expected -> and algorithms by direction: forward direct, ...");
  }
  if (device_.empty()) {
    line.fail(words[0].column, "expected a line 'device NAME' before the first plan");
  }
  read_entry(text, arrow, number);
}

void PlanFile::read_entry(const std::string& text, size_t arrow, int64_t number) {
  const Line line(text);
  const Problem problem = parse(text.substr(0, arrow));
  for (const Word& part : Line::split({text.substr(arrow + 2), arrow + 2}, ',')) {
    const std::vector<Word> words = Line(part.text).words();
    const auto word = [&](size_t i) { return Word{words[i].text, part.column + words[i].column}; };
    if (words.size() != 2) {
      line.fail(part.column + (words.empty() ? 0 : words.back().column),
                "expected a direction and an algorithm, such as forward direct");
    }
    check_word(line, "a direction", word(0), directions_of(problem));
    check_word(line, "an algorithm", word(1), algorithms_of(problem));
    const Direction direction = *value_of<Direction>(kDirections, words[0].text);
    const std::string& algorithm = words[1].text;
    const std::string reason = refusal_of(problem, direction, algorithm, device_);
    if (!reason.empty()) {
      line.fail(word(1).column,
                algorithm + " does not serve this " + words[0].text + ": " + reason);
    }
    const auto [entry, is_new] =
        entries_.insert({key_on(device_, problem, direction), {algorithm, number}});
    if (!is_new) {
      line.fail(word(0).column, words[0].text + " of this problem has its plan in line " +
                                    std::to_string(entry->second.line) +
                                    " (bias and relu make no difference)");
    }
    ++devices_[device_];
  }
}

std::optional<FilePlan> PlanFile::find(const Problem& problem, Direction direction,
                                       const DeviceTraits& traits) const {
  const auto found = entries_.find(key_on(traits.name, problem, direction));
  if (found == entries_.end()) return std::nullopt;
  return FilePlan{found->second.algorithm, name_ + ":" + std::to_string(found->second.line)};
}

namespace {

struct InForce {
  std::mutex mutex;
  bool environment_was_read = false;
  std::string error;  // of the environment's file
  std::shared_ptr<const PlanFile> file;
};

InForce& in_force() {
  // Never destroyed: threads may outlive static objects.
  static auto& state = *new InForce;
  return state;
}

}  // namespace

std::atomic<uint64_t> plans_generation{1};

std::shared_ptr<const PlanFile> plans_in_force() {
  InForce& now = in_force();
  const std::lock_guard<std::mutex> lock(now.mutex);
  if (!now.environment_was_read) {
    const char* path = std::getenv("CNNKERN_PLANS");
    try {
      if (path && *path) now.file = std::make_shared<const PlanFile>(PlanFile::read(path));
    } catch (const Error& error) {
      now.error = error.what();
    }
    now.environment_was_read = true;
  }
  if (!now.error.empty()) throw Error(now.error);
  return now.file;
}

void load_plans(const std::optional<std::string>& path) {
  std::shared_ptr<const PlanFile> file;
  if (path) file = std::make_shared<const PlanFile>(PlanFile::read(*path));
  InForce& now = in_force();
  {
    const std::lock_guard<std::mutex> lock(now.mutex);
    now.environment_was_read = true;
    now.error.clear();
    now.file = std::move(file);
  }
  plans_generation.fetch_add(1, std::memory_order_release);
}

}  // namespace cnnkern

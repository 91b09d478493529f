// SPDX-License-Identifier: BSD-3-Clause
// Text to problems. Values are refused by the checks that refuse them everywhere.
#include <algorithm>
#include <map>

#include "check.h"
#include "names.h"
#include "text_words.h"

namespace cnnkern {

namespace {

struct Operator {
  const char* name;
  std::vector<std::string> options;  // in the order of the canonical form
};

const std::vector<Operator>& operators() {
  static const std::vector<Operator> all{
      {"conv",
       {"stride", "padding", "dilation", "groups", "bias", "relu", "tf32", "dtype", "format"}},
      {"conv_transpose",
       {"stride", "padding", "output_padding", "dilation", "groups", "bias", "relu", "tf32",
        "dtype", "format"}},
      {"max_pool", {"kernel", "stride", "padding", "dilation", "ceil", "dtype", "format"}},
      {"avg_pool",
       {"kernel", "stride", "padding", "ceil", "count_include_pad", "divisor", "dtype", "format"}},
      {"adaptive_max_pool", {"output", "dtype", "format"}},
      {"adaptive_avg_pool", {"output", "dtype", "format"}},
  };
  return all;
}

// torch's longer names for the same things.
std::string canonical(const std::string& name) {
  if (name == "kernel_size") return "kernel";
  if (name == "output_size") return "output";
  if (name == "ceil_mode") return "ceil";
  if (name == "divisor_override") return "divisor";
  return name;
}

class Parser {
 public:
  explicit Parser(const std::string& text) : line_(text), words_(line_.words()) {}

  Problem problem() {
    read_operator();
    const bool convolution = name_ == "conv" || name_ == "conv_transpose";
    if (words_.size() < 2) line_.fail(line_.size(), op_ + ": expected the shape of the input");
    input_ = line_.shape(words_[1], "the shape of the input");
    if (convolution) {
      if (words_.size() < 3) line_.fail(line_.size(), op_ + ": expected the shape of the weight");
      weight_ = line_.shape(words_[2], "the shape of the weight");
    }
    read_options(convolution ? 3 : 2);
    try {
      if (convolution) return conv();
      return name_.rfind("adaptive_", 0) == 0 ? adaptive_pool() : pool();
    } catch (const TextError&) {
      throw;
    } catch (const Error& error) {
      line_.fail(column_of(error.what()), error.what());
    }
  }

 private:
  void read_operator() {
    if (words_.empty()) line_.fail(0, "expected a problem, got an empty text");
    const Word& word = words_[0];
    std::vector<std::string> names;
    for (const Operator& op : operators()) {
      for (int64_t rank = 1; rank <= 3; ++rank) {
        names.push_back(op.name + std::to_string(rank) + "d");
        if (word.text != names.back()) continue;
        op_ = names.back();
        name_ = op.name;
        rank_ = rank;
        valid_ = op.options;
      }
    }
    if (op_.empty()) {
      line_.fail(word.column,
                 "expected an operator, got '" + word.text + "'" + suggestion(word.text, names));
    }
    // torch's avg_pool1d has no divisor.
    if (rank_ == 1)
      valid_.erase(std::remove(valid_.begin(), valid_.end(), "divisor"), valid_.end());
  }

  void read_options(size_t first) {
    for (size_t i = first; i < words_.size(); ++i) {
      const Word& word = words_[i];
      const size_t equals = std::min(word.text.find('='), word.text.size());
      std::string name = canonical(word.text.substr(0, equals));
      Word value{equals < word.text.size() ? word.text.substr(equals + 1) : "true",
                 word.column + std::min(equals + 1, word.text.size())};
      if (name == "activation") {
        if (value.text != "relu") {
          line_.fail(value.column, "expected activation=relu, got '" + value.text + "'");
        }
        name = "relu";
        value.text = "true";
      }
      if (std::find(valid_.begin(), valid_.end(), name) == valid_.end()) {
        line_.fail(word.column,
                   op_ + ": unknown argument '" + name + "'" + suggestion(name, valid_));
      }
      const bool flag = name == "bias" || name == "relu" || name == "tf32" || name == "ceil" ||
                        name == "count_include_pad";
      if (!flag && equals == word.text.size()) {
        line_.fail(word.column, "expected " + name + "=..., got '" + word.text + "'");
      }
      if (!options_.emplace(name, value).second) {
        line_.fail(word.column, name + " is given twice");
      }
    }
  }

  const Word* option(const std::string& name) const {
    const auto found = options_.find(name);
    return found == options_.end() ? nullptr : &found->second;
  }

  bool flag(const std::string& name, bool standard) const {
    const Word* word = option(name);
    return word ? line_.truth(*word) : standard;
  }

  int64_t number(const std::string& name, int64_t standard) const {
    const Word* word = option(name);
    return word ? line_.number(*word) : standard;
  }

  template <class Enum, size_t N>
  Enum choice(const std::string& name, const std::array<const char*, N>& names) const {
    const Word* word = option(name);
    if (!word) return static_cast<Enum>(0);
    const auto value = value_of<Enum>(names, word->text);
    if (!value) {
      line_.fail(word->column, "expected a " + name + ", got '" + word->text + "'" +
                                   suggestion(word->text, {names.begin(), names.end()}));
    }
    return *value;
  }

  // One value for all axes, or one an axis.
  std::vector<Word> by_axis(const Word& word) const {
    std::vector<Word> parts = Line::split(word, ',');
    if (parts.size() == 1) parts.resize(static_cast<size_t>(rank_), Word(parts[0]));
    if (parts.size() != static_cast<size_t>(rank_)) {
      line_.fail(word.column,
                 "expected one value or " + std::to_string(rank_) + ", got '" + word.text + "'");
    }
    return parts;
  }

  std::vector<int64_t> list(const std::string& name, const std::vector<int64_t>& standard) const {
    const Word* word = option(name);
    if (!word) return standard;
    std::vector<int64_t> values;
    for (const Word& part : by_axis(*word)) values.push_back(line_.number(part));
    return values;
  }

  std::vector<int64_t> axes(int64_t value) const {
    return std::vector<int64_t>(static_cast<size_t>(rank_), value);
  }

  // Outputs of ceil(input / stride), as Keras has them at any stride.
  std::vector<int64_t> same(const Word& word, const std::vector<int64_t>& kernel,
                            const std::vector<int64_t>& stride,
                            const std::vector<int64_t>& dilation) const {
    std::vector<int64_t> values;
    const bool ranks_agree = input_.size() == stride.size() + 2 && kernel.size() == stride.size();
    if (!ranks_agree || name_ == "conv_transpose") {
      line_.fail(word.column, op_ + ": 'same' padding does not apply here");
    }
    for (size_t i = 0; i < stride.size(); ++i) {
      if (stride[i] < 1) line_.fail(word.column, op_ + ": 'same' padding needs stride >= 1");
      const int64_t total = same_padding(input_[i + 2], kernel[i], stride[i], dilation[i]);
      values.push_back(total / 2);
      values.push_back(total - total / 2);
    }
    return values;
  }

  std::vector<int64_t> padding(const std::vector<int64_t>& kernel,
                               const std::vector<int64_t>& stride,
                               const std::vector<int64_t>& dilation) const {
    std::vector<int64_t> values;
    const Word* word = option("padding");
    if (!word || word->text == "valid") {
      return std::vector<int64_t>(static_cast<size_t>(2 * rank_), 0);
    }
    if (word->text == "same") return same(*word, kernel, stride, dilation);
    for (const Word& part : by_axis(*word)) {
      const std::vector<Word> pair = Line::split(part, ':');
      if (pair.size() > 2) {
        line_.fail(part.column, "expected one padding or before:after, got '" + part.text + "'");
      }
      values.push_back(line_.number(pair.front()));
      values.push_back(line_.number(pair.back()));
    }
    return values;
  }

  ConvProblem conv() const {
    const bool transposed = name_ == "conv_transpose";
    const std::vector<int64_t> stride = list("stride", axes(1));
    const std::vector<int64_t> dilation = list("dilation", axes(1));
    const std::vector<int64_t> kernel(weight_.begin() + 2, weight_.end());
    ConvArguments<int64_t> a{op_.c_str(), rank_,  input_,
                             weight_,     stride, padding(kernel, stride, dilation),
                             dilation,    1};
    // Shapes of a convolution tell its groups, unless there are no channels.
    if (!transposed && input_[1] > 0 && weight_[1] > 0 && input_[1] % weight_[1] == 0) {
      a.groups = input_[1] / weight_[1];
    }
    a.groups = number("groups", a.groups);
    if (transposed) {
      a.input = conv_transpose_output_shape(a, list("output_padding", axes(0)));
    } else {
      conv_output_shape(a);
    }
    ConvProblem problem =
        make_problem(a, choice<DataType>("dtype", kDataTypes), choice<Format>("format", kFormats),
                     flag("bias", false), flag("relu", false), transposed);
    problem.tf32 = flag("tf32", false);
    if (problem.tf32 && problem.dtype != DataType::float32) {
      line_.fail(option("dtype")->column, "tf32 is a precision of float32 alone, got dtype=" +
                                              std::string(name_of(problem.dtype)));
    }
    return problem;
  }

  PoolProblem pool() const {
    const bool max = name_ == "max_pool";
    if (!option("kernel")) line_.fail(line_.size(), op_ + ": expected kernel=...");
    const std::vector<int64_t> kernel = list("kernel", {});
    const std::vector<int64_t> stride = list("stride", kernel);
    const std::vector<int64_t> dilation = list("dilation", axes(1));
    PoolArguments<int64_t> a{op_.c_str(),
                             rank_,
                             max ? PoolKind::max : PoolKind::avg,
                             input_,
                             kernel,
                             stride,
                             padding(kernel, stride, dilation),
                             dilation,
                             flag("ceil", false),
                             flag("count_include_pad", true),
                             number("divisor", 0)};
    if (option("divisor") && a.divisor == 0) fail(a.op, "expected divisor other than 0, got 0");
    pool_output_shape(a);
    return make_problem(a, choice<DataType>("dtype", kDataTypes),
                        choice<Format>("format", kFormats));
  }

  PoolProblem adaptive_pool() const {
    if (!option("output")) line_.fail(line_.size(), op_ + ": expected output=...");
    PoolArguments<int64_t> a{};
    a.op = op_.c_str();
    a.rank = rank_;
    a.kind = name_ == "adaptive_max_pool" ? PoolKind::max : PoolKind::avg;
    a.input = input_;
    a.count_include_pad = true;
    a.output_size = list("output", {});
    pool_output_shape(a);
    return make_problem(a, choice<DataType>("dtype", kDataTypes),
                        choice<Format>("format", kFormats));
  }

  // The word that a check's sentence is about.
  size_t column_of(const std::string& message) const {
    for (const auto& [name, value] : options_) {
      if (message.find("expected " + name) != std::string::npos) return value.column;
    }
    const bool weight = message.find("expected weight") != std::string::npos ||
                        message.find(": weight") != std::string::npos ||
                        message.find("kernel size") != std::string::npos;
    return words_[weight && !weight_.empty() ? 2 : 1].column;
  }

  Line line_;
  std::vector<Word> words_;
  std::string op_, name_;  // conv2d, conv
  int64_t rank_ = 0;
  std::vector<std::string> valid_;
  std::vector<int64_t> input_, weight_;
  std::map<std::string, Word> options_;
};

}  // namespace

Problem parse(const std::string& text) { return Parser(text).problem(); }

}  // namespace cnnkern

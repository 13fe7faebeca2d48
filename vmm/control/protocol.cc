#include "vmm/control/protocol.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "vmm/control/json_writer.h"

namespace lodge {
namespace {

using Json = nlohmann::json;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

ArgumentValue to_argument(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return std::monostate{};
    case Json::value_t::boolean: return value.get<bool>();
    case Json::value_t::number_integer: return value.get<int64_t>();
    case Json::value_t::number_unsigned: return value.get<uint64_t>();
    case Json::value_t::number_float: return value.get<double>();
    case Json::value_t::string: return value.get_ref<const std::string&>();
    default: return JsonText{to_text(value)};
  }
}

Request bad(Request request, std::string problem) {
  request.problem = std::move(problem);
  return request;
}

std::string with_id(JsonWriter& writer, std::string_view id) {
  if (!id.empty()) {
    writer.key("id").raw(id);
  }
  return writer.end_object().take() + "\n";
}

}  // namespace

void MessageSplitter::feed(std::string_view bytes) {
  buffer_.erase(0, start_);
  scan_ -= start_;
  start_ = 0;
  buffer_ += bytes;
}

std::optional<MessageSplitter::Item> MessageSplitter::next() {
  while (scan_ < buffer_.size()) {
    const char c = buffer_[scan_++];
    if (auto item = step(c)) {
      return item;
    }
  }
  return std::nullopt;
}

// One character; it is at scan_ - 1.
std::optional<MessageSplitter::Item> MessageSplitter::step(char c) {
  if (mode_ == Mode::between || mode_ == Mode::skip) {
    if (mode_ == Mode::skip || is_space(c)) {
      mode_ = mode_ == Mode::skip && c != '\n' ? Mode::skip : Mode::between;
      start_ = scan_;
      return std::nullopt;
    }
    mode_ = c == '{' ? Mode::object : Mode::line;
    depth_ = 0;
    in_string_ = escaped_ = false;
  }
  if (c == '\n') {
    return finish(scan_ - 1);
  }
  if (scan_ - start_ > kMaxControlMessage) {
    return give_up(fmt::format("the message is longer than {} bytes", kMaxControlMessage));
  }
  if (mode_ == Mode::line) {
    return std::nullopt;
  }
  if (in_string_) {
    in_string_ = escaped_ || c != '"';
    escaped_ = !escaped_ && c == '\\';
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    if (++depth_ > kMaxControlDepth) {
      return give_up(fmt::format("the message has more than {} levels of lists and objects", kMaxControlDepth));
    }
  } else if ((c == '}' || c == ']') && --depth_ == 0) {
    return finish(scan_);
  }
  return std::nullopt;
}

MessageSplitter::Item MessageSplitter::finish(size_t end) {
  Item item{buffer_.substr(start_, end - start_), {}};
  start_ = scan_;
  mode_ = Mode::between;
  return item;
}

MessageSplitter::Item MessageSplitter::give_up(std::string problem) {
  start_ = scan_;
  mode_ = Mode::skip;
  return Item{{}, std::move(problem)};
}

Request parse_request(std::string_view text) {
  Request request;
  const Json message = Json::parse(text, nullptr, false);
  if (message.is_discarded()) {
    return bad(std::move(request),
               "the message is not JSON; each line is one object such as {\"execute\": \"query-status\"}");
  }
  if (!message.is_object()) {
    return bad(std::move(request), "the message is not an object such as {\"execute\": \"query-status\"}");
  }
  if (const auto id = message.find("id"); id != message.end()) {
    request.id = to_text(*id);
  }
  for (const auto& [name, value] : message.items()) {
    if (name == "execute") {
      if (!value.is_string()) {
        return bad(std::move(request), "'execute' is not a text");
      }
      request.execute = value.get_ref<const std::string&>();
    } else if (name == "arguments") {
      if (!value.is_object()) {
        return bad(std::move(request), "'arguments' is not an object");
      }
      for (const auto& [argument, content] : value.items()) {
        request.arguments.emplace(argument, to_argument(content));
      }
    } else if (name != "id") {
      return bad(std::move(request),
                 fmt::format("the message has a member '{}'; a request has execute, arguments and id", name));
    }
  }
  if (request.execute.empty()) {
    return bad(std::move(request), "the message has no 'execute'");
  }
  return request;
}

std::optional<std::vector<std::string>> text_list(const ArgumentValue& value) {
  const auto* json = std::get_if<JsonText>(&value);
  const Json list = json != nullptr ? Json::parse(json->text, nullptr, false) : Json();
  if (!list.is_array()) {
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const Json& item : list) {
    if (!item.is_string()) {
      return std::nullopt;
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::string version_json() {
  JsonWriter writer;
  writer.begin_object().key("lodge").begin_object();
  writer.member("major", 0U).member("minor", 1U).member("micro", 0U).end_object();
  return writer.member("package", "lodge").end_object().take();
}

std::string greeting_line() {
  JsonWriter writer;
  writer.begin_object().key("QMP").begin_object().key("version").raw(version_json());
  return writer.key("capabilities").begin_array().end_array().end_object().end_object().take() + "\n";
}

std::string return_line(std::string_view json, std::string_view id) {
  JsonWriter writer;
  writer.begin_object().key("return").raw(json);
  return with_id(writer, id);
}

std::string error_line(std::string_view error_class, std::string_view description, std::string_view id) {
  JsonWriter writer;
  writer.begin_object().key("error").begin_object();
  writer.member("class", error_class).member("desc", description).end_object();
  return with_id(writer, id);
}

std::string event_line(std::string_view name, std::span<const std::pair<std::string, std::string>> data,
                       int64_t microseconds) {
  JsonWriter writer;
  writer.begin_object().member("event", name).key("data").begin_object();
  for (const auto& [key, value] : data) {
    if (value == "true" || value == "false") {
      writer.member(key, value == "true");
    } else {
      writer.member(key, value);
    }
  }
  writer.end_object().key("timestamp").begin_object();
  writer.member("seconds", microseconds / 1'000'000).member("microseconds", microseconds % 1'000'000).end_object();
  return writer.end_object().take() + "\n";
}

}  // namespace lodge

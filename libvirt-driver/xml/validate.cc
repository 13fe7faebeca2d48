#include "libvirt-driver/xml/validate.h"

#include <libxml/globals.h>
#include <libxml/relaxng.h>

#include <memory>

#include "libvirt-driver/xml/xml_reader.h"

namespace lodge {
namespace {

// The first complaint; the others follow from it.
struct Complaint {
  std::string text;
  int line = 0;
};

void note(void* data, xmlErrorPtr error) {
  auto* complaint = static_cast<Complaint*>(data);
  if (complaint->text.empty() && error->message != nullptr) {
    complaint->text = error->message;
    complaint->text.erase(complaint->text.find_last_not_of('\n') + 1);
  }
  if (complaint->line == 0) {
    complaint->line = error->line;  // those about a whole element come without; the next one has it
  }
}

// Reading a schema and the files it includes reports to the thread's handler only.
class ThreadHandler {
 public:
  explicit ThreadHandler(Complaint& complaint) { xmlSetStructuredErrorFunc(&complaint, &note); }
  ~ThreadHandler() { xmlSetStructuredErrorFunc(before_data_, before_); }
  ThreadHandler(const ThreadHandler&) = delete;
  ThreadHandler& operator=(const ThreadHandler&) = delete;

 private:
  void* before_data_ = xmlStructuredErrorContext;
  xmlStructuredErrorFunc before_ = xmlStructuredError;
};

template <class T, void (*kFree)(T*)>
struct FreeWith {
  void operator()(T* object) const { kFree(object); }
};
template <class T, void (*kFree)(T*)>
using Owned = std::unique_ptr<T, FreeWith<T, kFree>>;

}  // namespace

Answer<void> validate_schema(std::string_view xml, const std::string& schema_path) {
  const XmlDocument document = TRY(XmlDocument::parse(xml, "(domain_definition)"));
  Complaint complaint;
  const Owned<xmlRelaxNGParserCtxt, xmlRelaxNGFreeParserCtxt> parser(xmlRelaxNGNewParserCtxt(schema_path.c_str()));
  if (!parser) {
    return call_error(VIR_ERR_NO_MEMORY, "schema {}", schema_path);
  }
  xmlRelaxNGSetParserStructuredErrors(parser.get(), &note, &complaint);
  const ThreadHandler handler(complaint);
  const Owned<xmlRelaxNG, xmlRelaxNGFree> schema(xmlRelaxNGParse(parser.get()));
  if (!schema) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "Unable to parse RNG {}: {}", schema_path,
                      complaint.text.empty() ? "it cannot be read" : complaint.text);
  }
  const Owned<xmlRelaxNGValidCtxt, xmlRelaxNGFreeValidCtxt> validator(xmlRelaxNGNewValidCtxt(schema.get()));
  if (!validator) {
    return call_error(VIR_ERR_NO_MEMORY, "schema {}", schema_path);
  }
  complaint = {};
  xmlRelaxNGSetValidStructuredErrors(validator.get(), &note, &complaint);
  if (xmlRelaxNGValidateDoc(validator.get(), document.get()) != 0) {
    return call_error(VIR_ERR_XML_INVALID_SCHEMA, "Unable to validate doc against {}\nline {}: {}", schema_path,
                      complaint.line, complaint.text.empty() ? "it does not fit" : complaint.text);
  }
  return {};
}

}  // namespace lodge

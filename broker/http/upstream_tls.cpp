#include "broker/http/upstream_tls.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace spolia {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

Result<std::unique_ptr<UpstreamTls>> UpstreamTls::open(const std::filesystem::path& ca_file) {
    std::unique_ptr<UpstreamTls> tls(new UpstreamTls());
    error_code error;
    tls->context_.set_verify_mode(ssl::verify_peer, error);
    if (ca_file.empty()) {
        tls->context_.set_default_verify_paths(error);
    } else {
        tls->context_.load_verify_file(ca_file.string(), error);
    }
    if (error ||
        SSL_CTX_set_min_proto_version(tls->context_.native_handle(), TLS1_2_VERSION) != 1) {
        return Error{ErrorCode::kIo, "can't use the certificates of " +
                                         (ca_file.empty() ? "the system" : ca_file.string()) +
                                         ": " + error.message() +
                                         "; give a PEM file with --upstream-ca"};
    }
    return tls;
}

std::unique_ptr<UpstreamTls::Stream> UpstreamTls::wrap(asio::ip::tcp::socket& socket,
                                                       const std::string& host) {
    auto stream = std::make_unique<Stream>(socket, context_);
    SSL* handle = stream->native_handle();
    error_code no_address;
    asio::ip::make_address(host, no_address);
    bool done = false;
    if (no_address) {
        done = SSL_set_tlsext_host_name(handle, host.c_str()) == 1 &&
               SSL_set1_host(handle, host.c_str()) == 1;
    } else {
        done = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(handle), host.c_str()) == 1;
    }
    return done ? std::move(stream) : nullptr;
}

}  // namespace spolia

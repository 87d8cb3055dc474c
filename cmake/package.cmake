# A Debian package, of the preset "package": see README.md.
install(FILES README.md ARCHITECTURE.md proto/PROTOCOL.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT documents)

set(CPACK_PACKAGE_CONTACT "Order pipeline <root@localhost>")
set(CPACK_PACKAGE_NAME order-pipeline)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "order pipeline: HTTP to RabbitMQ, PostgreSQL and Elasticsearch")
set(CPACK_PACKAGE_DESCRIPTION "Five services that take orders over HTTP and store each of them once,
in PostgreSQL and in Elasticsearch, with Redis in front of the reads.
They run under systemd; which of them on this machine is up to you.
orderctl looks at them, and brings orders back.")
set(CPACK_SET_DESTDIR ON) # /etc is not below /usr
set(CPACK_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates, tzdata")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS systemd)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/deploy/debian/conffiles
    ${CMAKE_SOURCE_DIR}/deploy/debian/postinst
    ${CMAKE_SOURCE_DIR}/deploy/debian/prerm
    ${CMAKE_SOURCE_DIR}/deploy/debian/postrm)
include(CPack)

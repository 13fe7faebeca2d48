# What `cmake --install` puts where, and the Debian package (cpack, in a build directory whose targets are built).
# The prefix is /usr by default: programs, units and defaults in the code name these places. DESTDIR stages an installation.
include(GNUInstallDirs)

set(LODGE_UNIT_DIR ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
set(generated_files ${CMAKE_BINARY_DIR}/install)

# lodge_compressed(SOURCE NAME DESTINATION): SOURCE is installed as NAME.gz
function(lodge_compressed source name destination)
  find_program(GZIP gzip REQUIRED)
  file(MAKE_DIRECTORY ${generated_files})
  set(made ${generated_files}/${name}.gz)
  add_custom_command(
    OUTPUT ${made}
    COMMAND ${GZIP} -9nc ${PROJECT_SOURCE_DIR}/${source} > ${made}
    DEPENDS ${PROJECT_SOURCE_DIR}/${source}
    VERBATIM)
  add_custom_target(compressed_${name} DEPENDS ${made})
  add_dependencies(install_files compressed_${name})
  install(FILES ${made} DESTINATION ${destination})
endfunction()
add_custom_target(install_files ALL)  # what is installed and not a program

# The monitor is the daemon's helper and a user's command.
install(TARGETS lodge-vmm DESTINATION ${CMAKE_INSTALL_LIBEXECDIR})
install(CODE "
  set(bin \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_BINDIR}\")
  file(MAKE_DIRECTORY \"\${bin}\")
  file(CREATE_LINK ../libexec/lodge-vmm \"\${bin}/lodge-vmm\" SYMBOLIC)
")
if(TARGET lodge-vnc)
  install(TARGETS lodge-vnc DESTINATION ${CMAKE_INSTALL_LIBEXECDIR})
  install(CODE "
    file(CREATE_LINK ../libexec/lodge-vnc \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_BINDIR}/lodge-vnc\" SYMBOLIC)
  ")
  lodge_compressed(docs/man/lodge-vnc.1 lodge-vnc.1 ${CMAKE_INSTALL_MANDIR}/man1)
endif()
lodge_compressed(docs/man/lodge-vmm.1 lodge-vmm.1 ${CMAKE_INSTALL_MANDIR}/man1)
lodge_compressed(packages/debian/changelog changelog ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md docs/threat-model.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY configs/machines/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/machines FILES_MATCHING PATTERN *.json)
install(FILES packages/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES packages/debian/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME lodge)
install(FILES configs/sysusers.d/lodge.conf DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/sysusers.d)
install(FILES configs/tmpfiles.d/lodge.conf DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/tmpfiles.d)
install(FILES configs/logrotate.d/lodge DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/logrotate.d)

if(TARGET virtlodged)
  install(TARGETS virtlodged DESTINATION ${CMAKE_INSTALL_SBINDIR})
  install(FILES configs/virtlodged.conf DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/libvirt)
  lodge_compressed(docs/man/virtlodged.8 virtlodged.8 ${CMAKE_INSTALL_MANDIR}/man8)
  foreach(unit virtlodged.service virtlodged.socket virtlodged-ro.socket virtlodged-tcp.socket virtlodged-tls.socket)
    configure_file(configs/systemd/${unit}.in ${generated_files}/${unit} @ONLY)
    install(FILES ${generated_files}/${unit} DESTINATION ${LODGE_UNIT_DIR})
  endforeach()
endif()

# ---- lodge_VERSION_amd64.deb
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lodge)
set(CPACK_PACKAGE_CONTACT "Lodge developers <lodge@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "virtual machine monitor for KVM with a libvirt driver of its own")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "One small process for each guest, virtio disks and networks through
io_uring, and virtlodged, a daemon that libvirt's clients (virsh,
virt-manager, virt-install) reach at lodge:///system.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_RELEASE "")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# libvirt0 brings the CPU models (cpu_map) and the schemas.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libvirt0, systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libvirt-clients, passt, iproute2, libvirt-daemon, tzdata")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libvirt-daemon-system, libsasl2-modules, virtinst, virt-manager, logrotate")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packages/debian/postinst ${PROJECT_SOURCE_DIR}/packages/debian/prerm
    ${PROJECT_SOURCE_DIR}/packages/debian/postrm ${PROJECT_SOURCE_DIR}/packages/debian/conffiles)
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON)  # /etc lies outside of the prefix
set(CPACK_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)

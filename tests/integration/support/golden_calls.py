"""Calls of libvirt's whole domain API, each as a stock binding (python3-libvirt) sends it: what golden bytes are recorded from.

A call that the daemon refuses has been sent all the same, so refusals are passed over.
"""
import os

import libvirt as lv

CPU = "<cpu><arch>x86_64</arch><model>qemu64</model></cpu>"
EVENTS = 27  # VIR_DOMAIN_EVENT_ID_*
NEW = "22222222-3333-4444-8555-666666666666"


def swallow(call):
    """What it gives; None if the daemon, the binding or the file system refuses."""
    try:
        return call()
    except (lv.libvirtError, TypeError, ValueError, LookupError, OSError):
        return None


def host_calls(conn):
    """Questions about the connection and the host."""
    return [
        conn.getVersion, conn.getLibVersion, conn.getHostname, conn.getURI, conn.getType, conn.isSecure, conn.getInfo,
        conn.getCapabilities, conn.getSysinfo, conn.getFreeMemory, conn.getSecurityModel, conn.getSEVInfo,
        lambda: conn.getMaxVcpus("kvm"), lambda: conn.getMaxVcpus(None), lambda: conn.getCellsFreeMemory(0, 4), lambda: conn.getCPUMap(0),
        lambda: conn.getCPUStats(-1, 0), lambda: conn.getMemoryStats(-1, 0), lambda: conn.getMemoryParameters(0),
        lambda: conn.setMemoryParameters({"shm_pages_to_scan": 100, "shm_merge_across_nodes": 1}, 0),
        lambda: conn.getFreePages([4, 2048], 0, 1, 0), lambda: conn.allocPages({2048: 0}, 0, 1, 0),
        lambda: conn.getCPUModelNames("x86_64", 0), lambda: conn.compareCPU(CPU, 0), lambda: conn.baselineCPU([CPU, CPU], 0),
        lambda: conn.compareHypervisorCPU(None, "x86_64", None, "kvm", CPU, 0),
        lambda: conn.compareHypervisorCPU(None, "x86_64", None, "qemu", CPU, 0),
        lambda: conn.baselineHypervisorCPU(None, "x86_64", None, "kvm", [CPU], 0),
        lambda: conn.baselineHypervisorCPU(None, "x86_64", None, "qemu", [CPU], 0),
        lambda: conn.getDomainCapabilities(None, "x86_64", None, "kvm", 0), lambda: conn.getDomainCapabilities(),
        lambda: conn.domainXMLFromNative("qemu-argv", "qemu", 0), lambda: conn.domainXMLToNative("qemu-argv", "<domain/>", 0),
        lambda: conn.getAllDomainStats(lv.VIR_DOMAIN_STATS_STATE | lv.VIR_DOMAIN_STATS_BALLOON | lv.VIR_DOMAIN_STATS_VCPU, 0),
        lambda: conn.setIdentity({lv.VIR_CONNECT_IDENTITY_USER_NAME: "golden"}, 0),
        lambda: conn.suspendForDuration(lv.VIR_NODE_SUSPEND_TARGET_MEM, 0, 0),
    ]


def list_calls(conn, name, uuid):
    """Which domains there are."""
    return [
        conn.numOfDomains, conn.listDomainsID, conn.numOfDefinedDomains, conn.listDefinedDomains, lambda: conn.listAllDomains(3),
        lambda: conn.lookupByName("nobody"), lambda: conn.lookupByID(1), lambda: conn.lookupByName(name), lambda: conn.lookupByUUIDString(uuid),
    ]


def query_calls(dom, disk, nic):
    """Questions about a running domain."""
    return [
        dom.info, dom.state, dom.controlInfo, dom.OSType, dom.isActive, dom.isPersistent, dom.isUpdated, dom.autostart, dom.XMLDesc,
        dom.securityLabel, dom.securityLabelList, dom.messages, dom.maxMemory, dom.maxVcpus, dom.vcpus, dom.vcpuPinInfo, dom.emulatorPinInfo,
        dom.jobInfo, dom.jobStats, dom.memoryStats, dom.memoryParameters, dom.numaParameters, dom.blkioParameters, dom.ioThreadInfo,
        dom.schedulerType, dom.schedulerParameters, dom.schedulerParametersFlags, dom.perfEvents, dom.diskErrors, dom.hasManagedSaveImage,
        dom.listAllSnapshots, dom.snapshotNum, dom.snapshotListNames, dom.hasCurrentSnapshot, dom.snapshotCurrent, dom.listAllCheckpoints,
        dom.guestVcpus, dom.fsInfo, dom.hostname, dom.getTime, dom.guestInfo, dom.launchSecurityInfo, dom.backupGetXMLDesc,
        dom.migrateGetMaxSpeed, dom.migrateGetMaxDowntime, dom.migrateGetCompressionCache,
        lambda: dom.vcpusFlags(lv.VIR_DOMAIN_AFFECT_LIVE | lv.VIR_DOMAIN_VCPU_MAXIMUM), lambda: dom.getCPUStats(True),
        lambda: dom.getCPUStats(False), lambda: dom.blockStats(disk), lambda: dom.blockStatsFlags(disk), lambda: dom.blockInfo(disk),
        lambda: dom.blockPeek(disk, 0, 64), lambda: dom.blockJobInfo(disk), lambda: dom.blockIoTune(disk), lambda: dom.interfaceStats(nic),
        lambda: dom.interfaceParameters(nic), lambda: dom.interfaceAddresses(0), lambda: dom.interfaceAddresses(1),
        lambda: dom.memoryPeek(0xffff0, 16, lv.VIR_MEMORY_PHYSICAL), lambda: dom.metadata(lv.VIR_DOMAIN_METADATA_TITLE, None),
        lambda: dom.connect().domainListGetStats([dom], 0), lambda: dom.authorizedSSHKeysGet("root"),
        lambda: dom.snapshotLookupByName("none"), lambda: dom.checkpointLookupByName("none"),
    ]


def change_calls(dom, disk, nic):
    """Changes of a running domain."""
    rng = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    uri = "http://example.org/golden"
    return [
        lambda: dom.setMetadata(lv.VIR_DOMAIN_METADATA_TITLE, "golden", None, None),
        lambda: dom.metadata(lv.VIR_DOMAIN_METADATA_TITLE, None),
        lambda: dom.setMetadata(lv.VIR_DOMAIN_METADATA_ELEMENT, "<g/>", "golden", uri),
        lambda: dom.metadata(lv.VIR_DOMAIN_METADATA_ELEMENT, uri), lambda: dom.setAutostart(1), lambda: dom.setMemory(32768),
        lambda: dom.setMemoryFlags(32768, lv.VIR_DOMAIN_AFFECT_CONFIG), lambda: dom.setMaxMemory(65536), lambda: dom.setMemoryStatsPeriod(2),
        lambda: dom.setVcpus(1), lambda: dom.setVcpusFlags(1, lv.VIR_DOMAIN_AFFECT_CONFIG), lambda: dom.setVcpu("0", 1),
        lambda: dom.pinVcpu(0, (True,)), lambda: dom.pinVcpuFlags(0, (True,), lv.VIR_DOMAIN_AFFECT_LIVE), lambda: dom.vcpuPinInfo(1),
        lambda: dom.pinEmulator((True,)), lambda: dom.emulatorPinInfo(), lambda: dom.addIOThread(1), dom.ioThreadInfo, lambda: dom.pinIOThread(1, (True,)),
        lambda: dom.setIOThreadParams(1, {"poll_max_ns": 1000}), lambda: dom.delIOThread(1),
        lambda: dom.setMemoryParameters({"hard_limit": 1 << 20}), lambda: dom.setNumaParameters({"numa_mode": 0}),
        lambda: dom.setBlkioParameters({"weight": 100}), lambda: dom.setSchedulerParameters({"cpu_shares": 1024}),
        lambda: dom.setSchedulerParametersFlags({"cpu_shares": 1024}), lambda: dom.setBlockIoTune(disk, {"total_bytes_sec": 1000000}),
        lambda: dom.setInterfaceParameters(nic, {"inbound.average": 1000}), lambda: dom.setPerfEvents({"cmt": False}),
        lambda: dom.setLifecycleAction(lv.VIR_DOMAIN_LIFECYCLE_REBOOT, lv.VIR_DOMAIN_LIFECYCLE_ACTION_RESTART, lv.VIR_DOMAIN_AFFECT_CONFIG),
        lambda: dom.attachDevice(rng), lambda: dom.detachDevice(rng), lambda: dom.attachDeviceFlags(rng, lv.VIR_DOMAIN_AFFECT_CONFIG),
        lambda: dom.updateDeviceFlags("<disk/>", 0), lambda: dom.detachDeviceFlags(rng, lv.VIR_DOMAIN_AFFECT_CONFIG),
        lambda: dom.detachDeviceAlias("ua-golden"), lambda: dom.blockResize(disk, 2 << 20, lv.VIR_DOMAIN_BLOCK_RESIZE_BYTES),
        lambda: dom.setBlockThreshold(disk, 1000), lambda: dom.blockJobAbort(disk), lambda: dom.blockJobSetSpeed(disk, 1),
        lambda: dom.blockPull(disk, 1), lambda: dom.blockRebase(disk, None, 1), lambda: dom.blockCommit(disk, None, None, 1),
        lambda: dom.blockCopy(disk, "<disk/>", {"bandwidth": 1}), lambda: dom.sendKey(0, 0, [28, 29], 2, 0), lambda: dom.injectNMI(0),
        lambda: dom.sendProcessSignal(1, 1), lambda: dom.agentSetResponseTimeout(5), lambda: dom.setTime({"seconds": 1, "nseconds": 2}),
        lambda: dom.fsFreeze(["/a", "/b"]), dom.fsThaw, lambda: dom.fSTrim("/", 1 << 20), lambda: dom.setUserPassword("root", "secret", 0),
        lambda: dom.setGuestVcpus("0", 1), lambda: dom.authorizedSSHKeysSet("root", ["key"]), lambda: dom.pMSuspendForDuration(0, 0),
        dom.pMWakeup, dom.abortJob, lambda: dom.abortJobFlags(0), lambda: dom.migrateSetMaxSpeed(1), lambda: dom.migrateSetMaxDowntime(1),
        lambda: dom.migrateSetCompressionCache(1), lambda: dom.migrateStartPostCopy(), lambda: dom.startDirtyRateCalc(1),
        lambda: dom.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>"), lambda: dom.checkpointCreateXML("<domaincheckpoint/>"),
        lambda: dom.backupBegin("<domainbackup/>", None), lambda: dom.managedSaveRemove(), lambda: dom.managedSaveGetXMLDesc(),
        lambda: dom.screenshot(dom.connect().newStream(lv.VIR_STREAM_NONBLOCK), 0),
        lambda: dom.openConsole(None, dom.connect().newStream(lv.VIR_STREAM_NONBLOCK)),
        lambda: dom.openChannel("org.example.golden", dom.connect().newStream(lv.VIR_STREAM_NONBLOCK)),
        lambda: dom.openGraphicsFD(0),
    ]


def monitor_calls(dom):
    """Those of the qemu program."""
    import libvirt_qemu as qemu  # pylint: disable=import-outside-toplevel

    def monitor_event():
        number = qemu.qemuMonitorEventRegister(dom.connect(), dom, "STOP", tell_nobody, None)
        dom.suspend()
        pump()
        qemu.qemuMonitorEventDeregister(dom.connect(), number)
        dom.resume()

    return [
        lambda: qemu.qemuMonitorCommand(dom, '{"execute":"query-status"}', 0),
        lambda: qemu.qemuAgentCommand(dom, '{"execute":"guest-ping"}', 5, 0),
        monitor_event,
    ]


def life_calls(dom):
    """Stopping and going on; the last ends it."""
    return [
        dom.suspend, dom.resume, dom.reset, lambda: dom.reboot(0), dom.shutdown, lambda: dom.shutdownFlags(0),
        lambda: dom.destroyFlags(lv.VIR_DOMAIN_DESTROY_GRACEFUL), dom.create, dom.destroy, lambda: dom.createWithFlags(lv.VIR_DOMAIN_START_PAUSED),
        dom.destroy, dom.connect().listDefinedDomains, lambda: dom.rename("golden2"), lambda: dom.rename("golden"),
        lambda: dom.setMaxMemory(131072), dom.managedSave, lambda: dom.undefineFlags(lv.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE),
    ]


def register_all(conn):
    """Callbacks for every event; what undoes them."""
    undo = []
    for event in range(EVENTS):
        number = swallow(lambda event=event: conn.domainEventRegisterAny(None, event, lambda *_: None, None))
        if number is not None:
            undo.append(lambda number=number: conn.domainEventDeregisterAny(number))
    swallow(lambda: conn.domainEventRegister(tell_nobody, None))
    undo.append(lambda: conn.domainEventDeregister(tell_nobody))
    swallow(lambda: conn.registerCloseCallback(tell_nobody, None))
    undo.append(conn.unregisterCloseCallback)
    return undo


def tell_nobody(*_):
    """A callback."""


def everything(uri, xml, name, disk, nic):
    """All calls at a daemon, on a domain that `xml` defines and that is left undefined. `xml` None: one that exists."""
    lv.registerErrorHandler(tell_nobody, None)
    lv.virEventRegisterDefaultImpl()
    conn = lv.open(uri)
    undo = register_all(conn)
    if xml is not None:
        swallow(lambda: conn.defineXML(xml))
        swallow(lambda: conn.lookupByName(name).undefine())
        dom = conn.defineXMLFlags(xml, lv.VIR_DOMAIN_DEFINE_VALIDATE)
        dom.createWithFlags(0)
    else:
        dom = conn.lookupByName(name)
    definition = xml or dom.XMLDesc()
    calls = host_calls(conn) + list_calls(conn, name, dom.UUIDString()) + query_calls(dom, disk, nic) + monitor_calls(dom)
    calls += change_calls(dom, disk, nic) + query_calls(dom, disk, nic) + life_calls(dom)
    for call in calls:
        swallow(call)
        pump()
    transient = definition.replace(f"<name>{name}<", "<name>transient<").replace(dom.UUIDString(), NEW)
    swallow(lambda: conn.createXML(transient, lv.VIR_DOMAIN_START_AUTODESTROY).destroy())
    for call in undo:
        swallow(call)
    pump()
    conn.close()


def ask_uri():
    """A client that names no URI: it takes what it finds at libvirt's own socket, and asks what that is."""
    lv.open(None).close()


def pump(milliseconds=20):
    """Takes in the events that come in that time."""
    due = []
    timer = lv.virEventAddTimeout(milliseconds, lambda *_: due.append(True), None)
    while not due:
        lv.virEventRunDefaultImpl()
    lv.virEventRemoveTimeout(timer)


def legacy(uri, xml):
    """Events as clients ask for them of a daemon that knows no callbacks with numbers of their own."""
    lv.registerErrorHandler(tell_nobody, None)
    lv.virEventRegisterDefaultImpl()
    conn = lv.open(uri)
    swallow(lambda: conn.domainEventRegister(tell_nobody, None))
    swallow(lambda: conn.defineXML(xml).undefine())
    pump()
    swallow(lambda: conn.domainEventDeregister(tell_nobody))
    undo = register_all(conn)
    swallow(lambda: conn.defineXML(xml).undefine())
    pump()
    for call in undo:
        swallow(call)
    conn.close()



"""Named points at which a test can kill this process: `SONOBANK_FAILPOINT=name[,name…]` or `all`.

With `SONOBANK_FAILPOINT_LOG` (a folder) each point kills once only: the mark is on disk before the kill,
so that a supervisor can start the process again and the work goes on. Without settings a hit costs one look-up."""

import os
import signal
from pathlib import Path
from typing import Final

# Transactions that a run of the chain commits; each has a point before and one after.
_CHAIN: Final = """
    api.add_roi api.announce_parcel api.candidate_frame api.confirm api.create_dataset api.dataset_file
    api.dataset_version api.flag api.flag_csv api.form api.freeze_version api.instance api.instances_of_study
    api.list_datasets api.list_packages api.log_in api.manifest api.mask api.messages api.move_case api.one_case
    api.pick api.put_content api.rois api.save_form api.store api.studies audit.now audit.seal forward.done
    forward.dropped freeze.done mask.candidate mask.propose mirror.message pack.staged poll.obey purge
    receive.accept receive.dropped release.complete release.identities release.image replicate.done
    replicate.image replicate.reconcile retrieve.finish retrieve.instances retrieve.listed retrieve.start
    send.chunk send.done stow.instance sweep.staging vault.find vault.has-instance
    vault.is-opted-out vault.learn vault.link vault.needles vault.reveal vault.seal vault.seal-instances
    vault.study-moment
""".split()
# Transactions of troubles, corrections and other desks.
_OTHER: Final = """
    admin.site admin.model admin.token admin.user import.case api.all_instances api.all_series api.bank_case api.bank_cases
    api.bank_counts api.bulkdata api.change_roi api.check api.create_token api.create_user api.delete_holiday
    api.disable_user api.events api.frame_thumbnail api.frames api.history api.holidays api.instance_metadata
    api.instance_thumbnail api.instances_of_series api.lift api.me api.metrics api.opt_out api.original_frame
    api.parcel api.peers api.readyz api.rendered_frames api.rendered_instance api.retry_package api.revoke_token
    api.series api.series_metadata api.series_of_study api.series_thumbnail api.set_holiday api.set_mask
    api.shown api.store_into_study api.study api.study_metadata api.study_thumbnail api.test_peer api.tokens
    api.users api.worklist demo.provision forward.again forward.refused freeze.failed mask.hold
    receive.quarantine release.hold retrieve.fail retrieve.wait send.failed send.held sweep vault.find-by-name vault.forget
    vault.forget-patient vault.instance vault.known-instances vault.link-of-research-id vault.linked
    vault.list-opt-outs vault.merge vault.opt-in vault.opt-out vault.opted-out-cases vault.outward-id
    vault.reindex vault.reseal vault.reveal-instances vault.revise-instance wado.metadata web.api_docs
    web.case_add_roi web.case_change_roi web.case_confirm_mask web.case_frame web.case_frames web.case_mask web.case_mask_shown
    web.case_answer_proposal web.case_proposals
    api.answer_texts api.deid_report web.case_answer_texts web.case_before web.case_report_page
    web.case_contact_sheet web.contact_sheet_page web.case_set_mask web.case_strip web.case_thumb web.case_viewer web.home
    vault.same-person web.case_earlier web.case_forget_defaults
    web.case_changes web.case_presence web.case_redo web.case_restore web.case_undo web.case_version
    web.case_gaps web.case_history web.case_pick web.case_pick_confirmed web.case_pick_plain web.case_save_form
    web.case_save_form_plain web.case_sent web.case_sheet web.case_step
    web.sign_in web.sign_in_page web.sign_out
    admin.password admin.totp web.account_page web.begin_totp web.change_password web.confirm_totp
    web.create_own_token web.create_person web.disable_person web.enable_person web.new_person_page web.oidc_begin
    web.oidc_callback web.people_page web.person_page web.remove_totp web.renew_codes web.reset_password
    web.reset_totp web.revoke_own_token web.search_people web.set_grants web.sign_in_code web.sign_in_code_page
    api.mark_frames api.marks api.volumes web.case_heart web.case_mark_frames
    api.device_rules api.import_device_rules mask.again web.device_picture web.next_mask_case web.rule_create
    web.rule_new_page web.rule_page web.rule_publish web.rule_queue_page web.rule_retire web.rule_save web.rule_trial_page
    api.add_reading_roi api.assign_reads api.cancel_read api.change_reading_roi api.own_reading api.own_reads
    api.reading_frame api.readings_of_case api.save_reading api.submit_reading web.case_assign_reads
    web.case_cancel_read web.case_reads web.case_settle_reads web.read_add_roi web.read_change_roi web.read_frame web.read_frames
    web.read_mask web.read_save_form web.read_save_form_plain web.read_submit web.read_thumb web.read_viewer
    web.reads_page web.assign_many_reads web.my_page web.my_mail web.targets_page web.set_targets web.case_wait web.case_end_wait
    vault.remark vault.remarks web.case_comments web.case_add_comment web.case_resolve_comment web.case_reopen_comment
    web.agreement_page web.agreement_csv web.agreement_json remind.claim remind.failed
    web.devices_page web.retry_transfer web.transfer_page web.transfers_csv web.transfers_page
    web.schedule_page web.schedule_retry web.schedule_cancel web.schedule_edit web.save_window web.delete_window
    web.save_caps web.save_holiday web.remove_holiday web.peers_page web.try_peer web.opt_outs_page
    web.opt_out_check web.opt_out_refuse web.opt_out_lift web.opt_out_receipt web.audit_page web.audit_csv
    web.verify_chain web.health_page web.run_job_again
    web.worklist_page web.worklist_csv web.worklist_bulk web.worklist_search
    web.save_worklist_view web.delete_worklist_view web.flag_page web.flag_study web.flag_preview web.flag_list
    web.flag_template
    offer.models offer.taken
    api.infer api.infer_coco api.infer_report infer.stream api.list_models api.register_model api.promote_model api.retire_model
    api.cancel_training api.list_trainings api.one_training api.register_training api.start_training
    train.begin train.done train.end train.progress web.begin_training web.new_training_page web.training_cancel
    web.training_page web.training_register web.trainings_page
    web.live_page web.live_report web.models_page web.model_page web.model_promote web.model_retire
    web.bank_case_page web.bank_cases_page web.bank_csv web.begin_dataset
    web.begin_dataset_version web.dataset_page web.datasets_page web.new_dataset_page
""".split()
# Blobs, spools and acknowledgements.
_DEEDS: Final = """
    forward.delivered:after outbox.put:after outbox.put:before replica.put:after replica.put:before
    send.delivered:after spool.put:after spool.put:before store.put:after store.put:before
""".split()


def _both(names: list[str]) -> frozenset[str]:
    return frozenset(f"{name}:{when}-commit" for name in names for when in ("before", "after"))


RARE: Final = _both(_OTHER)
POINTS: Final = _both(_CHAIN) | frozenset(_DEEDS) | RARE


def hit(name: str) -> None:
    """Kill this process (SIGKILL) if `name` is armed."""
    armed = os.environ.get("SONOBANK_FAILPOINT")
    if not armed or not {name, "all"} & set(armed.split(",")):
        return
    if log := os.environ.get("SONOBANK_FAILPOINT_LOG"):
        mark = Path(log) / name.replace("/", "_")
        try:
            fd = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.fsync(fd)
        os.close(fd)
    os.kill(os.getpid(), signal.SIGKILL)

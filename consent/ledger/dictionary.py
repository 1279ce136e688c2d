"""What consent records have in common, so that a record deflates to what is its own (RFC 1950 preset dictionary).

Frozen: a receipt made with it must open for ever. A field added to the dossier later only deflates less well; what it
says never depends on this, for the signature covers the record whole.
"""

from __future__ import annotations

from typing import Final

# The rarest first: what stands nearest the end costs fewest bits.
_RARE: Final = (
    'null},"mandate":{"champ":["biens","personne"],"mandatary":"","nature":"autorite_parentale","scope":["*"]'
    ',"valid_from":"","valid_to":""},"cause":"deces","actor":"representant","actor":"institution","kind":"nar'
    'rowed","kind":"denied","kind":"renewed","kind":"informed","kind":"objected","kind":"revoked","kind":"pro'
    'tected","purpose":"acces_aux_droits","purpose":"prevention_expulsion_fsl","purpose":"autonomie","lawful_'
    'basis":"eu-gdpr:A6-1-e","channel":"portail","channel":"papier","evidence":"E0","evidence":"E3","evidence'
    '":"E2","evidence_hash":"","language":"falc","language":"en","notice":null,"pii_information":[],"purpose"'
    ':null,"recipients":[],"retention":null,"sources":[],"sensitivity":null,"to":null},"withdrawal_method":nu'
    'll}{"partner":"","roles":["accueil","gestionnaire_offre_service","instructeur","travailleur_social","equ'
    'ipe_medico_sociale","medecin_pmi","ase_crip"]}'
)
_PATHS: Final = (
    '"identite.nom_naissance","identite.nom_usage","identite.prenoms","identite.sexe","identite.date_naissanc'
    'e","identite.code_cog_insee_commune_naissance","identite.code_cog_insee_pays_naissance","identifiants.ni'
    'r","identifiants.matricule_caf","identifiants.identifiant_msa","identifiants.identifiant_france_travail"'
    ',"identifiants.ine","identifiants.numero_fiscal","identifiants.numero_unique_logement","identifiants.id_'
    'dossier_mission_locale","identifiants.id_si_departement","contact.email","contact.telephone","contact.ad'
    'resse","contact.code_postal","contact.code_cog_insee_commune","contact.est_sans_domicile_fixe","foyer.si'
    'tuation_familiale","foyer.nombre_enfants_a_charge","foyer.membres","droits.rsa.etat","droits.rsa.date_de'
    'but_droit","droits.rsa.date_fin_droit","droits.rsa.avec_majoration","droits.rsa.avec_participation","dro'
    'its.rsa.motif_suspension","droits.rsa.est_soumis_droits_devoirs","droits.prime_activite.etat","droits.pr'
    'ime_activite.date_debut_droit","droits.prime_activite.date_fin_droit","droits.prime_activite.avec_majora'
    'tion","droits.prime_activite.avec_participation","droits.prime_activite.motif_suspension","droits.prime_'
    'activite.est_soumis_droits_devoirs","droits.aah.etat","droits.aah.date_debut_droit","droits.aah.date_fin'
    '_droit","droits.aah.avec_majoration","droits.aah.avec_participation","droits.aah.motif_suspension","droi'
    'ts.aah.est_soumis_droits_devoirs","droits.aeeh.etat","droits.aeeh.date_debut_droit","droits.aeeh.date_fi'
    'n_droit","droits.aeeh.avec_majoration","droits.aeeh.avec_participation","droits.aeeh.motif_suspension","'
    'droits.aeeh.est_soumis_droits_devoirs","droits.asf.etat","droits.asf.date_debut_droit","droits.asf.date_'
    'fin_droit","droits.asf.avec_majoration","droits.asf.avec_participation","droits.asf.motif_suspension","d'
    'roits.asf.est_soumis_droits_devoirs","droits.c2s.etat","droits.c2s.date_debut_droit","droits.c2s.date_fi'
    'n_droit","droits.c2s.avec_majoration","droits.c2s.avec_participation","droits.c2s.motif_suspension","dro'
    'its.c2s.est_soumis_droits_devoirs","droits.pch.etat","droits.pch.date_debut_droit","droits.pch.date_fin_'
    'droit","droits.pch.avec_majoration","droits.pch.avec_participation","droits.pch.motif_suspension","droit'
    's.pch.est_soumis_droits_devoirs","droits.apa.etat","droits.apa.date_debut_droit","droits.apa.date_fin_dr'
    'oit","droits.apa.avec_majoration","droits.apa.avec_participation","droits.apa.motif_suspension","droits.'
    'apa.est_soumis_droits_devoirs","droits.ass.etat","droits.ass.date_debut_droit","droits.ass.date_fin_droi'
    't","droits.ass.avec_majoration","droits.ass.avec_participation","droits.ass.motif_suspension","droits.as'
    's.est_soumis_droits_devoirs","droits.are.etat","droits.are.date_debut_droit","droits.are.date_fin_droit"'
    ',"droits.are.avec_majoration","droits.are.avec_participation","droits.are.motif_suspension","droits.are.'
    'est_soumis_droits_devoirs","droits.aide_logement.etat","droits.aide_logement.date_debut_droit","droits.a'
    'ide_logement.date_fin_droit","droits.aide_logement.avec_majoration","droits.aide_logement.avec_participa'
    'tion","droits.aide_logement.motif_suspension","droits.aide_logement.est_soumis_droits_devoirs","droits.p'
    'ension_invalidite.etat","droits.pension_invalidite.date_debut_droit","droits.pension_invalidite.date_fin'
    '_droit","droits.pension_invalidite.avec_majoration","droits.pension_invalidite.avec_participation","droi'
    'ts.pension_invalidite.motif_suspension","droits.pension_invalidite.est_soumis_droits_devoirs","droits.in'
    'demnites_journalieres.etat","droits.indemnites_journalieres.date_debut_droit","droits.indemnites_journal'
    'ieres.date_fin_droit","droits.indemnites_journalieres.avec_majoration","droits.indemnites_journalieres.a'
    'vec_participation","droits.indemnites_journalieres.motif_suspension","droits.indemnites_journalieres.est'
    '_soumis_droits_devoirs","droits.aspa.etat","droits.aspa.date_debut_droit","droits.aspa.date_fin_droit","'
    'droits.aspa.avec_majoration","droits.aspa.avec_participation","droits.aspa.motif_suspension","droits.asp'
    'a.est_soumis_droits_devoirs","ressources.quotient_familial","ressources.ressources_mensuelles","ressourc'
    'es.autre_ressource","ressources.revenu_fiscal_reference","ressources.nombre_parts","emploi.inscription.d'
    'ate_debut","emploi.inscription.date_fin","emploi.inscription.categorie","emploi.code_rome","emploi.frein'
    's.mobilite","emploi.freins.logement","emploi.freins.financier","emploi.freins.numerique","emploi.freins.'
    'langue","emploi.freins.savoirs_de_base","emploi.freins.insertion_sociale","emploi.freins.familial","empl'
    'oi.freins.sante","emploi.freins.juridique","emploi.indemnisation","scolarite.est_scolarise","scolarite.e'
    'st_boursier","scolarite.echelon","scolarite.code_uai","scolarite.regime_formation","formation.intitule",'
    '"formation.organisme","formation.date_debut","formation.date_fin","formation.financeur","activite_indepe'
    'ndante.siren","activite_independante.code_naf","activite_independante.date_immatriculation","activite_in'
    'dependante.accompagnement","logement.type","logement.statut","logement.loyer","logement.est_en_impaye","'
    'logement.demande_logement_social","retraite.caisse","retraite.date_effet","retraite.montant_mensuel","re'
    'traite.plan_aide","handicap_autonomie.demandes","handicap_autonomie.decisions","handicap_autonomie.gir",'
    '"protection_juridique.nature","protection_juridique.champ","protection_juridique.mandataire","enfance.ty'
    'pe_evenement","enfance.mesure","enfance.suivi_medical_pmi","accompagnement.phase","accompagnement.parcou'
    'rs","accompagnement.orientation","accompagnement.organisme_referent","accompagnement.referent","accompag'
    'nement.contrat_engagement.date","accompagnement.contrat_engagement.heures","accompagnement.rendez_vous",'
    '"accompagnement.synthese","aides.fsl","aides.secours","aides.aide_alimentaire","aides.aide_energie","aid'
    'es.aide_mobilite","aides.aide_enfance","aides.autre","budget_dettes.charges","budget_dettes.dettes","bud'
    'get_dettes.plan","pension_alimentaire.est_due","pension_alimentaire.montant","pension_alimentaire.est_im'
    'payee","pension_alimentaire.intermediation","domiciliation.organisme","domiciliation.date_debut","domici'
    'liation.date_fin","pieces.identite","pieces.domicile","pieces.foyer","pieces.ressources","pieces.logemen'
    't","pieces.emploi","pieces.securite_sociale","pieces.budget","pieces.sante","pieces.justice","offre.stru'
    'cture","offre.service","offre.thematiques"'
)
_RECORD: Final = (
    '{"actor":"personne","at":"2026-11-22T10:00:00Z","cause":null,"certificate":"eyJhbGciOiJFZDI1NTE5Iiwia2lk'
    "IjoiSIsInR5cCI6Im1haWxsb24tY2VydCtqd3MifQ.eyJleHAiOjE3OTUwMDE4MDAsImlhdCI6MTc5NTAwMDAwMCwic2VhbF9rZXkiOn"
    "siY3J2IjoiWDI1NTE5Iiwia3R5IjoiT0tQIiwieCI6IkFBEifSwic2lnbl9rZXkiOnsiY3J2IjoiRWQyNTUxOSIsImt0eSI6Ik9LUCIs"
    'IngiOiJBIn0sInNsdWciOiJkZXBhcnRlbWVudCIsInYiOjF9.","collection":{"agent":"","channel":"guichet","evidenc'
    'e":"E1","evidence_hash":null,"second_agent":""},"collector":"departement","controllers":["departement"],'
    '"event_id":"-4","kind":"granted","lawful_basis":"dpv:Consent","mandate":null,"notice":{"id":"accompagnem'
    'ent_global","language":"fr","sha256":"","version":"1"},"pii_information":["identite.nom_naissance"],"pre'
    'v":null,"purpose":"accompagnement_global","recipients":[{"partner":"departement","roles":["referent_parc'
    'ours"]}],"record_id":"","retention":"P2Y","sensitivity":"C5","seq":0,"sources":["departement"],"subject"'
    ':"","subject_proofs":[{"kind":"nir","proof":""},{"kind":"sgd","proof":""},{"kind":"gdp","proof":""}],"su'
    'persedes":null,"v":1,"validity":{"from":"2026-11-22T10:00:00Z","to":"2027-11-22T10:00:00Z"},"withdrawal_'
    'method":"À l\'accueil ou auprès de la personne qui vous accompagne, sans donner de raison."}'
)
DICTIONARY: Final = (_RARE + _PATHS + _RECORD).encode()
"""At most 32 KiB, or zlib would use its end alone."""
